from .checkpoints import Checkpoints as Checkpoints
from .loop import TIES as TIES
from .loop import Loop as Loop
from .metrics import PROGRESS as PROGRESS
from .metrics import Metrics as Metrics
from .metrics import read_metrics as read_metrics
from .world import World as World
