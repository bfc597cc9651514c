"""Ranked lists of a batch of queries."""

from dataclasses import dataclass

import numpy as np


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
