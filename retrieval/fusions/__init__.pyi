from .fusion import Fusion as Fusion
from .registry import FUSIONS as FUSIONS
from .rrf import RRF as RRF
