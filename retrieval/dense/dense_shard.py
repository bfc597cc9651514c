"""A shard of a dense index: opened over the shared quantizer, searched, re-scored exactly."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.deadline import hurried, look
from retrieval.dense.faiss_files import check_graph, read_faiss
from retrieval.dense.inverted_lists import StoredShard, map_lists, open_stored
from retrieval.dense.quantizer import Assignment, Quantizer
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import (
    DAMAGE_HINT,
    DenseSpec,
    SearchParameters,
    ShardVectors,
    best_rows,
    check_file,
    exact_search,
)

GRAPH = "graph.faiss"
HURRIED = 16  # queries that are searched between two looks at the deadline, where there is one
EXACT_ROWS = 20_000  # a selection of at most so many rows is scored instead of searched


class DenseShard:
    """Search in one shard. Rows count from 0 in the shard; scores are exact inner products."""

    def __init__(
        self,
        spec: DenseSpec,
        quantizer: Quantizer,
        stored: StoredShard,
        index: Any,
        vectors: ShardVectors | None,
        keep: list[Any],
    ) -> None:
        self.spec = spec
        self.stored = stored
        self.quantizer = quantizer
        self._index = index
        self._vectors = vectors
        self._keep = keep  # what the FAISS index points to

    @classmethod
    def open(
        cls,
        folder: Path,
        spec: DenseSpec,
        quantizer: Quantizer,
        vectors: ShardVectors | None,
        *,
        pack: bool = True,
    ) -> "DenseShard":
        """Open a shard in milliseconds: sizes and structure are checked, lists are mapped.

        pack: copy 4-bit codes into memory in the blocked layout that is searched about 20 times as
        fast. vectors: None searches without re-scoring, with the codes' approximate scores; `flat`
        and `hnsw` need them. Raises IndexDamaged.
        """
        stored = open_stored(folder, spec, quantizer.id)
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
        if vectors is None and not spec.is_ivf:
            raise ConfigError(f"A shard of type {spec.type} is searched with its vectors; none were given.")
        index: Any = None
        keep: list[Any] = []
        if spec.is_ivf:
            index = quantizer.over(map_lists(stored), stored.vectors)
            if pack and spec.type == "ivf_pq" and spec.pq_bits == 4:
                index.own_invlists = True  # the blocked copy below takes this flag over
                packed = faiss.IndexIVFPQFastScan(index)
                index = packed
        elif spec.type == "hnsw" and vectors is not None and stored.vectors:
            index, keep = _open_graph(stored, spec, vectors)
        return cls(spec, quantizer, stored, index, vectors, keep)

    def __len__(self) -> int:
        return self.stored.vectors

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        parameters: SearchParameters | None = None,
        assigned: Assignment | None = None,
        selection: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of queries (q, d) float32: (scores float32, rows int64), both (q, k).

        parameters: default, those of the spec. assigned: the quantizer's assignment of these very
        queries, to share it between shards; its nprobe counts. selection: sorted, unique int64 rows
        to search in. Missing results are row -1 with score -inf; equal scores are ordered by row.
        Raises IndexDamaged where the lists hold rows that the shard does not have.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.spec.dimension:
            raise ConfigError(
                f"Queries of shape {queries.shape}, the index has {self.spec.dimension} dimensions."
            )
        parameters = parameters or self.spec.search
        exact = selection is not None and len(selection) <= EXACT_ROWS
        if self._vectors is not None and (self._index is None or exact):
            scores, rows = exact_search(queries, self._vectors, k, rows=selection)
            self._check_finite(scores[rows >= 0])
            return scores, rows
        width = max(k, parameters.shortlist) if self._vectors is not None else k
        width = max(1, min(width, len(self)))
        scores, rows = self._candidates(queries, width, parameters, assigned, selection)
        if rows.size and not (rows.min() >= -1 and rows.max() < len(self)):
            raise IndexDamaged(f"{self.stored.folder} has rows that are not in the shard.", hint=DAMAGE_HINT)
        if self._vectors is not None:
            rows = np.sort(rows, axis=1)  # neighbours in the file are read together
            scores = self._vectors.scores(queries, rows)
        self._check_finite(scores[rows >= 0])
        return best_rows(np.where(rows >= 0, scores, -np.inf), rows, k)

    def _check_finite(self, scores: np.ndarray) -> None:
        if not np.isfinite(scores).all():
            raise IndexDamaged(f"Vectors of {self.stored.folder} are not finite.", hint=DAMAGE_HINT)

    def shortlist(self, queries: np.ndarray, parameters: SearchParameters) -> tuple[np.ndarray, np.ndarray]:
        """What a search would re-score, with the scores of the codes: float32 and rows int64, both (q, s).

        Empty (q, 0) where the index is scored exactly from the start.
        """
        if self._index is None or not len(self):
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        width = max(1, min(parameters.shortlist, len(self)))
        return self._candidates(np.ascontiguousarray(queries, np.float32), width, parameters, None, None)

    def _candidates(
        self,
        queries: np.ndarray,
        width: int,
        parameters: SearchParameters,
        assigned: Assignment | None,
        selection: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if hurried() and len(queries) > HURRIED:
            parts = [slice(first, first + HURRIED) for first in range(0, len(queries), HURRIED)]
            found = [
                self._candidates(queries[part], width, parameters, assigned and assigned.of(part), selection)
                for part in parts
            ]
            return np.concatenate([scores for scores, _ in found]), np.concatenate(
                [rows for _, rows in found]
            )
        look()
        selector, _bits = _selector(selection, len(self))
        if self.spec.type == "hnsw":
            ef = max(parameters.ef_search, width)
            return self._index.search(
                queries, width, params=faiss.SearchParametersHNSW(efSearch=ef, sel=selector)
            )
        if assigned is None:
            assigned = self.quantizer.assign(queries, parameters.nprobe)
        scores = np.empty((len(queries), width), np.float32)
        rows = np.empty((len(queries), width), np.int64)
        options = faiss.SearchParametersIVF(nprobe=assigned.nprobe, sel=selector)
        pointer = faiss.swig_ptr
        # The Python wrapper of this method takes no parameters, so the C++ one is called.
        self._index.search_preassigned_c(
            len(queries), pointer(assigned.queries), width, pointer(assigned.lists),
            pointer(assigned.products), pointer(scores), pointer(rows), False, options, None,
        )  # fmt: skip
        return scores, rows

    def close(self) -> None:
        """Let go of the mapped files and of packed codes."""
        self._index = None
        self._vectors = None
        self._keep = []


def _selector(selection: np.ndarray | None, rows: int) -> tuple[Any, np.ndarray | None]:
    """A FAISS bitmap of the selected rows, and the bits, which must outlive it."""
    if selection is None:
        return None, None
    chosen = np.zeros(rows, bool)
    chosen[selection] = True
    bits = np.packbits(chosen, bitorder="little")
    return faiss.IDSelectorBitmap(bits), bits


def _open_graph(stored: StoredShard, spec: DenseSpec, vectors: ShardVectors) -> tuple[Any, list[Any]]:
    """The graph over the vectors, which are copied into memory: a graph reads them at random."""
    path = stored.folder / GRAPH
    if stored.graph is None:
        raise IndexDamaged(f"{stored.folder} does not name its graph.", hint=DAMAGE_HINT)
    check_file(path, stored.graph.bytes, stored.graph.crc32)
    check_graph(path, spec, len(vectors))
    graph = read_faiss(faiss.read_index, path)
    storage = faiss.IndexScalarQuantizer(
        spec.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    for first, block in vectors.blocks():
        if not np.isfinite(block).all():
            raise IndexDamaged(
                f"{stored.folder}: vectors from row {first} on are not finite.", hint=DAMAGE_HINT
            )
        storage.add_sa_codes(np.ascontiguousarray(block).view(np.uint8))
    graph.storage = storage
    graph.own_fields = False
    return graph, [storage]
