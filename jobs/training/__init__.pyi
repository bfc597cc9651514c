from .command import EXAMPLES as EXAMPLES
from .command import mine as mine
from .command import train_app as train_app
