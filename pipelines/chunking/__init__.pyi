from .chunker import Chunker as Chunker
