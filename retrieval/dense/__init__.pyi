from .dense_shard import DenseShard as DenseShard
from .index_type import DenseType as DenseType
from .quantizer import Quantizer as Quantizer
from .registry import dense_type as dense_type
from .registry import read_spec as read_spec
from .settings import DenseSettings as DenseSettings
from .stored_shard import SHARD_HEADER as SHARD_HEADER
from .type_names import built_in_names as built_in_names
