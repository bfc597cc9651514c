"""Ranked lists of a batch of queries, and how two lists become one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval.format import best_rows
from retrieval.fusions import Fusion


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


def fuse(
    fusion: Fusion, rankings: Sequence[Ranking], weights: Sequence[float], n: int, settings: Mapping[str, Any]
) -> Ranking:
    """The n passages with the largest sums over the lists of what they add; equal sums by id.

    A passage that a list lacks gets nothing from it. settings: the fusion's own. Scores are float64.
    """
    shares = [
        fusion.shares(np.where(ranking.ids >= 0, ranking.scores, -np.inf), weight, settings)
        for ranking, weight in zip(rankings, weights, strict=True)
    ]
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
