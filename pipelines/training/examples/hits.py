"""What a search found for one query, its passages read as they are needed: most are never looked at."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipelines.training.examples.example import TrainingPassage
from retrieval.search import Searcher

_READ = 8  # passages read at once
_FIELDS = ("passage_id", "doc_id", "title", "text")


class Hits:
    """Passages by rank, best first."""

    def __init__(self, searcher: Searcher, ids: np.ndarray, scores: np.ndarray) -> None:
        """ids: (n,) int64, -1 where there are fewer; scores: (n,)."""
        self._searcher = searcher
        self._ids = [number for number in ids.tolist() if number >= 0]
        self._scores = scores.tolist()
        self._ranks = {number: rank for rank, number in enumerate(self._ids, start=1)}
        self._known: dict[int, TrainingPassage] = {}

    def at(self, numbers: list[int]) -> list[TrainingPassage]:
        """Passages by number, found or not, in this order."""
        new = [number for number in numbers if number not in self._known]
        if new:
            found = self._searcher.shards.fetch(np.array(new, np.int64), _FIELDS)
            self._known.update({number: self._passage(number, found[number]) for number in new})
        return [self._known[number] for number in numbers]

    def _passage(self, number: int, fields: dict[str, Any]) -> TrainingPassage:
        rank = self._ranks.get(number)
        score = None if rank is None else round(self._scores[rank - 1], 6)
        return TrainingPassage(id=number, **fields, rank=rank, score=score)

    def since(self, rank: int) -> Iterator[TrainingPassage]:
        """Passages from a rank on."""
        for first in range(rank - 1, len(self._ids), _READ):
            yield from self.at(self._ids[first : first + _READ])

    def order(self, passage: TrainingPassage) -> tuple[int, int]:
        """To sort passages by rank, those that were not found last."""
        return (passage.rank or len(self._ids) + 1, passage.id)
