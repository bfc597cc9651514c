from .pruning import prune as prune
from .verification import damaged_copies as damaged_copies
from .verification import verify as verify
from .verification import verify_on_workers as verify_on_workers
