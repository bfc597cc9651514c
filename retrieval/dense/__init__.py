"""The dense index on disk: its spec, its quantizer and its shards, opened and searched.

What needs FAISS and torch is imported when it is asked for: reading a manifest takes the spec alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from retrieval.format.dense_spec import DenseSpec, SearchParameters

if TYPE_CHECKING:
    from retrieval.dense.quantizer import Assignment, Quantizer
    from retrieval.dense.dense_shard import DenseShard

__all__ = ["Assignment", "DenseShard", "DenseSpec", "Quantizer", "SearchParameters"]
_LATER = {"Assignment": "quantizer", "Quantizer": "quantizer", "DenseShard": "shard"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
