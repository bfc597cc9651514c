from . import queries as queries
from .ask import Asking as Asking
from .doctor import run_checks as run_checks
from .index_status import status as status
from .index_status import status_lines as status_lines
from .submission import submit_build as submit_build
from .submit_training import submit_training as submit_training
