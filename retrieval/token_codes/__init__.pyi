from .codec import TokenCodec as TokenCodec
from .shard_codes import OFFSETS as OFFSETS
from .shard_codes import ShardTokens as ShardTokens
from .shard_codes import write_tokens as write_tokens
