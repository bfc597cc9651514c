from .dense_shard import DenseShard as DenseShard
from .faiss_files import is_moderate as is_moderate
from .inverted_lists import LISTS_HEADER as LISTS_HEADER
from .quantizer import Assignment as Assignment
from .quantizer import Quantizer as Quantizer
