from .chunker import Chunker as Chunker
from .method import Batch as Batch
from .method import ChunkMethod as ChunkMethod
from .method import Spans as Spans
from .settings import ChunkSettings as ChunkSettings
