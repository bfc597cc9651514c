"""Which types of dense index there are: those of this package, and those of installed plug-ins, by name."""

from importlib import import_module
from typing import Any

from retrieval.plugins import plugin_names

GROUP = "corpusmill.dense_types"  # of entry points
_BUILT_IN = ("flat", "ivf_flat", "ivf_pq", "hnsw")  # each a module of `types`, with its object in capitals


def built_in_names() -> list[str]:
    """Types of this package."""
    return list(_BUILT_IN)


def type_names() -> list[str]:
    """What a configuration may name: the types of this package, then those of installed plug-ins."""
    return [*_BUILT_IN, *(name for name in plugin_names(GROUP) if name not in _BUILT_IN)]


def built_in(name: str) -> Any:
    """A type of this package, imported when it is asked for: what searches needs FAISS."""
    return getattr(import_module(f"retrieval.dense.types.{name}"), name.upper())
