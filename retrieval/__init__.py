"""Everything that a query touches: the format of an index on disk, and search in it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.results import Hit, Result
    from retrieval.search import Searcher

__all__ = ["Hit", "Result", "Searcher"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported when asked for: torch and FAISS take seconds
        from retrieval import results, search

        return getattr(search if name == "Searcher" else results, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
