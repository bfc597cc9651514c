"""A shard of a dense index: opened over the shared quantizer, searched, re-scored exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.deadline import hurried, look
from retrieval.dense.index_type import Candidates
from retrieval.dense.quantizer import Quantizer, open_stored
from retrieval.dense.stored_shard import StoredShard
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import (
    DAMAGE_HINT,
    SearchParameters,
    ShardVectors,
    best_rows,
    exact_search,
)

HURRIED = 16  # queries that are searched between two looks at the deadline, where there is one
EXACT_ROWS = 20_000  # a selection of at most so many rows is scored instead of searched


@dataclass(frozen=True)
class Shortlist:
    """Rows int64 (q, s) with scores float32 (q, s): of the codes, or `exact`. Missing rows are -1, -inf."""

    scores: np.ndarray
    rows: np.ndarray
    exact: bool


class DenseShard:
    """Search in one shard. Rows count from 0 in the shard; scores are exact inner products."""

    def __init__(
        self,
        quantizer: Quantizer,
        stored: StoredShard,
        index: Candidates | None,
        vectors: ShardVectors | None,
    ) -> None:
        self.spec = quantizer.spec
        self.stored = stored
        self.quantizer = quantizer
        self._index = index  # None: every vector is scored
        self._vectors = vectors

    @classmethod
    def open(
        cls,
        folder: Path,
        quantizer: Quantizer,
        vectors: ShardVectors | None,
        *,
        pack: bool = True,
    ) -> "DenseShard":
        """Open a shard in milliseconds: sizes and structure are checked, lists are mapped.

        pack: copy codes into memory where the type has a layout that is searched faster. vectors: None
        searches without re-scoring, with the codes' approximate scores; some types need them. Raises
        IndexDamaged.
        """
        kind, spec = quantizer.kind, quantizer.spec
        stored = open_stored(folder, quantizer)
        if stored.first_row:
            raise IndexDamaged(
                f"{folder} is a piece, not a shard: rows from {stored.first_row}.", hint=DAMAGE_HINT
            )
        if vectors is not None and (len(vectors), vectors.dimension) != (stored.vectors, spec.dimension):
            raise IndexDamaged(
                f"{folder} has {stored.vectors} vectors of {spec.dimension}, "
                f"its vector files have {len(vectors)} of {vectors.dimension}.",
                hint=DAMAGE_HINT,
            )
        if vectors is None and kind.needs_vectors:
            raise ConfigError(f"A shard of type {spec.type} is searched with its vectors; none were given.")
        index = kind.open(stored, spec, quantizer.trained, vectors, pack=pack)
        return cls(quantizer, stored, index, vectors)

    def __len__(self) -> int:
        return self.stored.vectors

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        parameters: SearchParameters | None = None,
        assigned: Any = None,
        selection: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of queries (q, d) float32: (scores float32, rows int64), both (q, k).

        parameters: default, those of the spec. assigned: the quantizer's assignment of these very
        queries, to share it between shards; it counts instead of the parameters'. selection: sorted, unique
        int64 rows to search in. Missing results are row -1 with score -inf; equal scores are ordered by row.
        Raises IndexDamaged where the lists hold rows that the shard does not have.
        """
        parameters = parameters or self.spec.search
        listed = self.shortlist(queries, k, parameters, assigned, selection)
        if listed.exact:
            return best_rows(listed.scores, listed.rows, k)
        rows = np.sort(listed.rows, axis=1)  # neighbours in the file are read together
        return best_rows(self.scores(queries, rows), rows, k)

    def shortlist(
        self, queries: np.ndarray, k: int, parameters: SearchParameters, assigned: Any = None,
        selection: np.ndarray | None = None,
    ) -> "Shortlist":  # fmt: skip
        """What is to be re-scored for the k best rows of queries (q, d) float32; arguments as of `search`.

        Raises IndexDamaged where the lists hold rows that the shard does not have.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.spec.dimension:
            raise ConfigError(
                f"Queries of shape {queries.shape}, the index has {self.spec.dimension} dimensions."
            )
        few = selection is not None and len(selection) <= EXACT_ROWS
        if self._vectors is not None and (self._index is None or few):
            scores, rows = exact_search(queries, self._vectors, k, rows=selection)
            self._check_finite(scores[rows >= 0])
            return Shortlist(scores, rows, exact=True)
        width = max(k, parameters.shortlist) if self._vectors is not None else k
        width = max(1, min(width, len(self)))
        scores, rows = self._candidates(queries, width, parameters, assigned, selection)
        if rows.size and not (rows.min() >= -1 and rows.max() < len(self)):
            raise IndexDamaged(f"{self.stored.folder} has rows that are not in the shard.", hint=DAMAGE_HINT)
        self._check_finite(scores[rows >= 0])
        return Shortlist(np.where(rows >= 0, scores, -np.inf), rows, exact=self._vectors is None)

    def scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Exact inner products, float32 (q, s), of queries (q, d) float32 with rows (q, s); -inf for row -1.

        Raises IndexDamaged where one is not finite.
        """
        if self._vectors is None:
            raise ConfigError(f"{self.stored.folder} is closed, or was opened without its vectors.")
        scores = self._vectors.scores(queries, rows)
        self._check_finite(scores[rows >= 0])
        return scores

    def _check_finite(self, scores: np.ndarray) -> None:
        if not np.isfinite(scores).all():
            raise IndexDamaged(f"Vectors of {self.stored.folder} are not finite.", hint=DAMAGE_HINT)

    def _candidates(
        self,
        queries: np.ndarray,
        width: int,
        parameters: SearchParameters,
        assigned: Any,
        selection: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._index is None:
            raise ConfigError(f"{self.stored.folder} is closed, or has nothing to search.")
        if not hurried() or len(queries) <= HURRIED:
            look()
            return self._index.search(queries, width, parameters, assigned, selection)
        found = []
        for first in range(0, len(queries), HURRIED):
            look()
            some = slice(first, first + HURRIED)
            own = None if assigned is None else assigned[some]
            found.append(self._index.search(queries[some], width, parameters, own, selection))
        return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found])

    def close(self) -> None:
        """Let go of the mapped files and of packed codes."""
        self._index = None
        self._vectors = None
