"""Everything that a query touches: the format of an index on disk, and search in it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.search import Hit, Result, Searcher

__all__ = ["Hit", "Result", "Searcher"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported when asked for: torch and FAISS take seconds
        from retrieval import search

        return getattr(search, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
