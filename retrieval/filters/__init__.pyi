from .filter import Filter as Filter
from .filter import parse as parse
from .problem import EMPTY_HINT as EMPTY_HINT
