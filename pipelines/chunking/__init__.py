"""Cuts documents into passages with exact character spans."""

from pipelines.chunking.boundaries import sentences
from pipelines.chunking.chunker import Chunker

__all__ = ["Chunker", "sentences"]
