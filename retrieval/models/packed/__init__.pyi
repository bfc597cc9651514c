from .opening import PackedModel as PackedModel
from .opening import open_packed as open_packed
from .rows import POOLINGS as POOLINGS
from .rows import pack_rows as pack_rows
from .rows import pool as pool
