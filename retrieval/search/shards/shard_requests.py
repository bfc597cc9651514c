"""What shards are asked and what they answer: plain data, as it goes from one process to another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrieval.filters import Filter
from retrieval.lexical import LexicalQuery, TermMatch
from retrieval.search.ranking import Ranking

Pairs = tuple[np.ndarray, np.ndarray]  # the best passage token of each query token (t,), their scores (t,)
Cell = tuple[int, int]  # of a passage among ids (q, n): its query and its column


@dataclass(frozen=True)
class DenseSearch:
    """The n nearest passages of query vectors (q, d) float32 by inner product, exactly scored.

    `exact`: score every vector instead of searching the index.
    """

    vectors: np.ndarray
    n: int
    filter: Filter | None = None
    exact: bool = False


@dataclass(frozen=True)
class Shortlisted:
    """What a dense search is to choose from: `known`, n passages with exact scores, of shards where those are
    as cheap; `listed`, with scores of the codes, the best of which are re-scored."""

    known: Ranking
    listed: Ranking


@dataclass(frozen=True)
class LexicalSearch:
    """The n passages with the highest BM25 of each query; statistics are those of the whole index."""

    queries: Sequence[LexicalQuery]
    n: int
    filter: Filter | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """Scores of a kind that `shards.scores` names, for passages `ids` (q, n).

    `queries`: as the kind has them, one each. `depth`: results that the search was asked for, where a kind
    depends on it.
    """

    kind: str
    queries: np.ndarray | Sequence[Any]
    ids: np.ndarray
    depth: int = 0


@dataclass(frozen=True)
class ExplainRequest:
    """Why passages `ids` (q, n) were found: scores of some kinds, terms of the queries, matches of tokens.

    `terms` and `tokens` (t, d) have one entry a query, or none at all where they did not count.
    """

    ids: np.ndarray
    scores: Sequence[ScoreRequest] = ()
    terms: Sequence[LexicalQuery] = ()
    tokens: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Matches:
    """`scores`: float32 (q, n) by kind. `terms`: of the query that occur in a passage, by its place. `pairs`:
    what each query token matched best among a passage's stored codes, by its place."""

    scores: dict[str, np.ndarray] = field(default_factory=dict)
    terms: dict[Cell, list[TermMatch]] = field(default_factory=dict)
    pairs: dict[Cell, Pairs] = field(default_factory=dict)
