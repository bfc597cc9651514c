"""Everything that a query touches: the format of an index on disk, and search in it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.searcher import Hit, Searcher

__all__ = ["Hit", "Searcher"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported when asked for: torch and FAISS take seconds
        from retrieval import searcher

        return getattr(searcher, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
