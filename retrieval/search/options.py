"""What a caller may ask of a search, checked once and resolved against the index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval.errors import ConfigError
from retrieval.filters import Filter, parse
from retrieval.format import Manifest
from retrieval.fusions import FUSIONS
from retrieval.models.encoders import check_unicode
from retrieval.rerankers import RERANKERS
from retrieval.settings import MOST_NEIGHBOURS, Mode, Rerank, SearchSettings

MAX_K = 10_000
MAX_QUERY_CHARACTERS = 100_000
MAX_QUERIES = 100_000


@dataclass(frozen=True)
class Options:
    """A search, whatever the queries: `k` passages, found by `mode`, re-ranked, filtered.

    `per_document`: most passages of one document; None: as many as there are. `exact`: the dense half
    scores every vector instead of searching the index. `neighbours`: passages before and after each hit, of
    its document, that are read with it.
    """

    k: int
    mode: Mode
    rerank: Rerank
    settings: SearchSettings
    filter: Filter | None = None
    per_document: int | None = None
    explain: bool = False
    exact: bool = False
    neighbours: int = 0

    @property
    def candidates(self) -> int:
        """Passages that each half of the first stage finds."""
        return max(self.k, self.settings.candidates, self.rerank_depth)

    @property
    def rerank_depth(self) -> int:
        """Passages that the second stage scores; 0 without one."""
        return 0 if RERANKERS[self.rerank].rank is None else self.settings.rerank_depth


def resolve(
    manifest: Manifest, settings: SearchSettings, *, k: int, mode: str | None, rerank: str | None,
    filter: str | dict[str, Any] | None, per_document: int | None = None, explain: bool = False,
    exact: bool = False, neighbours: int = 0,
) -> Options:  # fmt: skip
    """Options for this index, what is None taken from the settings. Raises ConfigError."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise ConfigError(f"k is {k}; it must be a whole number from 1 to {MAX_K:,}")
    if per_document is not None and per_document < 1:
        raise ConfigError(f"per_document is {per_document}; it must be at least 1")
    if not 0 <= neighbours <= MOST_NEIGHBOURS:
        raise ConfigError(
            f"neighbours is {neighbours}; it must be a whole number from 0 to {MOST_NEIGHBOURS}"
        )
    has_lexical = bool(manifest.lexical)
    chosen = mode or settings.mode or ("hybrid" if has_lexical else "dense")
    second = rerank or settings.rerank
    if chosen not in ("dense", "lexical", "hybrid"):
        raise ConfigError(f"mode is {chosen!r}; it is one of dense, lexical, hybrid")
    if second not in RERANKERS:
        raise ConfigError(f"rerank is {second!r}; it is one of {', '.join(RERANKERS)}")
    if chosen != "dense" and not has_lexical:
        raise ConfigError(
            f"the index has no lexical part, so mode {chosen} cannot be had",
            hint="Search with mode dense, or set lexical.enabled: true and build again.",
        )
    fused = chosen == "hybrid" or (second != "none" and settings.rerank_fusion == "fuse")
    if fused and FUSIONS[settings.fusion].complete and not manifest.background:
        raise ConfigError(
            f"the index was built without what the fusion {settings.fusion!r} measures scores by",
            hint="Set search.fusion: rrf, or build again.",
        )
    schema = manifest.metadata
    parsed = None if filter is None else parse(filter, schema)  # an empty one is an error
    return Options(k, chosen, second, settings, parsed, per_document, explain, exact, neighbours)  # type: ignore[arg-type]


def check_queries(queries: Sequence[str]) -> None:
    """Raises ConfigError for what is no query, InputError for text that is no Unicode."""
    if isinstance(queries, str):
        raise ConfigError("a batch is a list of queries, not one text", hint='Write ["..."].')
    if len(queries) > MAX_QUERIES:
        raise ConfigError(f"a batch has {len(queries):,} queries, more than {MAX_QUERIES:,}")
    for number, query in enumerate(queries):
        if not isinstance(query, str):
            raise ConfigError(f"query {number} is a {type(query).__name__}, not text")
        if not query.strip().strip("\0"):
            raise ConfigError("the query is empty" if len(queries) == 1 else f"query {number} is empty")
        if len(query) > MAX_QUERY_CHARACTERS:
            raise ConfigError(f"a query has {len(query):,} characters, more than {MAX_QUERY_CHARACTERS:,}")
    check_unicode(queries, "query")


def check_vectors(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """Query vectors as (q, d) float32. Raises ConfigError for another shape or values not finite."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise ConfigError(
            f"query vectors have the shape {vectors.shape}, the index has {dimension} dimensions"
        )
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise ConfigError(f"query vector {row} holds NaN or infinity")
    return vectors
