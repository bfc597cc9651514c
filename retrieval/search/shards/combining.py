"""How the answers of several shards, or of several groups of shards, become one."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from retrieval.format import best_rows
from retrieval.search.ranking import Ranking
from retrieval.search.shards.shard_requests import Matches

K = TypeVar("K")
V = TypeVar("V")


def merge_rankings(queries: int, rankings: Sequence[Ranking], n: int) -> Ranking:
    """The n best of each query over lists that have no passage in common."""
    rankings = [Ranking.none(queries), *rankings]
    scores = np.concatenate([ranking.scores for ranking in rankings], axis=1)
    ids = np.concatenate([ranking.ids for ranking in rankings], axis=1)
    return Ranking(*best_rows(scores, ids, n))


def highest(shape: tuple[int, ...], scores: Sequence[np.ndarray]) -> np.ndarray:
    """Scores float32 of this shape from whoever has them; -inf where nobody has."""
    return np.max(np.stack([np.full(shape, -np.inf, np.float32), *scores]), axis=0)


def union(found: Sequence[Mapping[K, V]]) -> dict[K, V]:
    """All entries; no key is in two."""
    return {key: value for one in found for key, value in one.items()}


def merge_matches(shape: tuple[int, ...], found: Sequence[Matches]) -> Matches:
    """Matches of passages (q, n), each of which one of those who answer holds."""
    kinds = dict.fromkeys(kind for one in found for kind in one.scores)
    return Matches(
        {kind: highest(shape, [one.scores[kind] for one in found]) for kind in kinds},
        union([one.terms for one in found]),
        union([one.pairs for one in found]),
    )
