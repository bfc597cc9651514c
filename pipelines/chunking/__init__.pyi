from .boundaries import sentences as sentences
from .chunker import Chunker as Chunker
