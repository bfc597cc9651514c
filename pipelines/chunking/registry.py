"""The chunking methods: those of this package, and plug-ins that a build's configuration enables."""

from collections.abc import Collection

from pipelines.chunking.method import ChunkMethod
from retrieval.plugins import Registry

METHODS = Registry(
    "chunking method", "chunk.method", "pipelines.chunking.methods", "METHOD", "corpusmill.chunkers"
)


def chunk_method(name: str, plugins: Collection[str] = ()) -> ChunkMethod:
    """The method of this name; a plug-in's only where `plugins` names it. Raises ConfigError."""
    found: ChunkMethod = METHODS.get(name, plugins, ChunkMethod)
    return found
