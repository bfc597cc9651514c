from .chunker import Chunker as Chunker
from .settings import ChunkSettings as ChunkSettings
