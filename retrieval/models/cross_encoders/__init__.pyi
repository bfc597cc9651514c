from .cross_encoder import CrossEncoder as CrossEncoder
from .packaged import PACKAGED_CROSS_ENCODER as PACKAGED_CROSS_ENCODER
