"""Ranked lists of a batch of queries, and how two lists become one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.format import best_rows


@dataclass(frozen=True)
class Ranking:
    """The best passages of q queries, best first.

    `scores`: (q, n) float, descending. `ids`: (q, n) int64 passage ids; -1 with score -inf where a query
    has fewer than n.
    """

    scores: np.ndarray
    ids: np.ndarray

    @property
    def width(self) -> int:
        """n."""
        return int(self.ids.shape[1])

    def top(self, n: int) -> "Ranking":
        """The first n of every query."""
        return Ranking(self.scores[:, :n], self.ids[:, :n])

    def position(self, query: int, passage: int) -> int | None:
        """Place of a passage in a query's list, from 0; None where it is not in it."""
        found = np.flatnonzero(self.ids[query] == passage)
        return int(found[0]) if len(found) else None

    @classmethod
    def none(cls, queries: int) -> "Ranking":
        """Empty lists."""
        return cls(np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64))


def merge_rankings(rankings: Sequence[Ranking], n: int) -> Ranking:
    """The n best over lists that have no passage in common, such as those of shards."""
    scores = np.concatenate([ranking.scores for ranking in rankings], axis=1)
    ids = np.concatenate([ranking.ids for ranking in rankings], axis=1)
    return Ranking(*best_rows(scores, ids, n))


def reciprocal_rank_fusion(
    rankings: Sequence[Ranking], weights: Sequence[float], n: int, k: int = 60
) -> Ranking:
    """Cormack et al. 2009: sum over the lists of weight / (k + rank), rank from 1. Scores are float64."""
    shares = []
    for ranking, weight in zip(rankings, weights, strict=True):
        ranks = np.arange(1, ranking.width + 1, dtype=np.float64)
        shares.append(np.broadcast_to(weight / (k + ranks), ranking.ids.shape))
    return _sum(rankings, shares, n)


def weighted_fusion(rankings: Sequence[Ranking], weights: Sequence[float], n: int) -> Ranking:
    """Sum over the lists of weight times score, each list's scores scaled to 0 to 1 by query (min-max).

    A passage that a list lacks gets nothing from it. Where all scores of a list are equal they count 1.
    """
    shares = []
    for ranking, weight in zip(rankings, weights, strict=True):
        there = ranking.ids >= 0
        scores = ranking.scores.astype(np.float64)
        high = np.max(scores, axis=1, keepdims=True, where=there, initial=-np.inf)
        low = np.min(scores, axis=1, keepdims=True, where=there, initial=np.inf)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = np.where(high > low, (scores - low) / (high - low), 1.0)
        shares.append(weight * np.where(there, scaled, 0.0))
    return _sum(rankings, shares, n)


def _sum(rankings: Sequence[Ranking], shares: Sequence[np.ndarray], n: int) -> Ranking:
    """The n passages with the largest sums of shares; equal sums by id."""
    ids = np.concatenate([ranking.ids for ranking in rankings], axis=1)
    values = np.concatenate(shares, axis=1)
    order = np.argsort(ids, axis=1, kind="stable")
    ids, values = np.take_along_axis(ids, order, 1), np.take_along_axis(values, order, 1)
    first = np.ones(ids.shape, bool)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    run = np.cumsum(first, axis=1) - 1
    rows = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)
    sums = np.zeros(ids.shape)
    np.add.at(sums, (rows, run), values)
    unique = np.full(ids.shape, -1, np.int64)
    unique[rows[first], run[first]] = ids[first]
    return Ranking(*best_rows(np.where(unique >= 0, sums, -np.inf), unique, n))
