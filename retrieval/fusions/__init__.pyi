from .fusion import Fusion as Fusion
from .fusion import Signal as Signal
from .registry import FUSIONS as FUSIONS
from .rrf import RRF as RRF
