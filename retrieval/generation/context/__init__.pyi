from .dates import check_date as check_date
from .passages import ContextPassage as ContextPassage
from .reading import Context as Context
from .reading import Found as Found
from .reading import read_context as read_context
from .settings import ContextSettings as ContextSettings
