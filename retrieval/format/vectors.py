"""Vectors of passages: one .npy file of float16 a part, memory-mapped, and exact search over them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import faiss
import numpy as np
import torch

from retrieval.deadline import look
from retrieval.errors import ModelError
from retrieval.format.npy import map_npy

BLOCK_ROWS = 16_384
SMALL_BLOCK_ROWS = 1_024
# Values re-scored at a time: they stay in a core's cache, and torch converts so few without its threads,
# the last of which a query on a busy machine would wait for.
WIDENED_VALUES = 32_768
SORTED_WHOLE = 4  # times k: longer lists are cut to what can be among the k best before they are sorted


def write_vectors(path: Path, vectors: np.ndarray) -> int:
    """Write vectors of shape (n, d), float16 or float32, as float16 in C order; return the file's bytes.

    Raises ModelError where a value is not finite in float16: such a vector could never be found.
    """
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(vectors, dtype="<f2")
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        raise ModelError(
            f"The encoder gave a vector with NaN or a value beyond float16: row {row} of {path.name}.",
            hint="Set model.dtype to float32, or model.normalize to true.",
        )
    with path.open("wb") as file:
        np.lib.format.write_array(file, values, version=(1, 0), allow_pickle=False)
        return file.tell()


def open_vectors(path: Path, expected_rows: int, dimension: int) -> np.ndarray:
    """Map a part's vectors: shape (expected_rows, dimension), float16, read-only, no file handle kept.

    Raises IndexDamaged where the file is missing or its header or size is not what is expected.
    """
    array = _map(path, expected_rows, dimension)
    array.flags.writeable = False
    return array


def _map(path: Path, rows: int, dimension: int) -> np.ndarray:
    return map_npy(path, "<f2", (rows, dimension), "vectors").numpy()


class ShardVectors:
    """Consecutive part files seen as one float16 matrix of shape (n, d), with rows local to the shard."""

    def __init__(self, paths: Sequence[Path], rows: Sequence[int], dimension: int) -> None:
        """Map the files; `rows` are their row counts. Raises IndexDamaged as `open_vectors` does."""
        self.dimension = dimension
        parts = [_map(path, count, dimension) for path, count in zip(paths, rows, strict=True)]
        self._parts = [part for part in parts if len(part)]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)], dtype=np.int64)

    @classmethod
    def from_array(cls, vectors: np.ndarray) -> "ShardVectors":
        """The same over an array in memory, shape (n, d), float16."""
        shard = cls([], [], vectors.shape[1])
        shard._parts = [np.require(vectors, np.float16, ["C", "W"])] if len(vectors) else []
        shard._starts = np.array([0, len(vectors)] if len(vectors) else [0], dtype=np.int64)
        return shard

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Vectors of the given rows, int64 of any shape, as float16 of that shape + (d,)."""
        flat = np.asarray(rows, np.int64).reshape(-1)
        if len(flat) and not (flat.min() >= 0 and flat.max() < len(self)):
            raise IndexError(f"rows outside 0..{len(self) - 1}")
        out = np.empty((len(flat), self.dimension), np.float16)
        if len(self._parts) == 1:
            self._parts[0].take(flat, axis=0, out=out, mode="clip")  # checked above; "raise" would copy
        else:
            order = np.argsort(flat, kind="stable")
            ordered = flat[order]
            cuts = np.searchsorted(ordered, self._starts)
            for number in np.flatnonzero(np.diff(cuts)):
                span = slice(cuts[number], cuts[number + 1])
                out[order[span]] = self._parts[number].take(ordered[span] - self._starts[number], axis=0)
        return out.reshape(*np.shape(rows), self.dimension)

    def blocks(self, block_rows: int = BLOCK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, float16 array of shape (m <= block_rows, d)) in order; no copies."""
        for start, part in zip(self._starts, self._parts, strict=False):
            for first in range(0, len(part), block_rows):
                yield int(start) + first, part[first : first + block_rows]

    def scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Exact inner products, float32 (q, s), of queries (q, d) float32 with rows (q, s) int64.

        A row of -1 scores -inf. Vectors are gathered a bounded number at a time.
        """
        out = np.full(rows.shape, -np.inf, np.float32)
        if not rows.size or not len(self):
            return out
        step = max(1, WIDENED_VALUES // self.dimension)
        for number, query in enumerate(np.asarray(queries, np.float32)):
            look()
            there = np.flatnonzero(rows[number] >= 0)
            gathered = self.take(rows[number, there])
            for first in range(0, len(there), step):
                products = np.einsum("ij,j->i", _widened(gathered[first : first + step]), query)
                out[number, there[first : first + step]] = products
        return out


def _widened(vectors: np.ndarray) -> np.ndarray:
    """float16 to float32; torch converts several times as fast as NumPy."""
    return torch.from_numpy(vectors).float().numpy()


def exact_search(
    queries: np.ndarray, vectors: ShardVectors, k: int, *, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest inner products of queries (q, d) float32: (scores float32, rows int64), both (q, k).

    `rows` limits the search to a sorted, unique selection. Missing results are row -1 with score
    -inf; equal scores are in the order of rows. Memory is bounded by a block and by q * k.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    found = np.full((len(queries), k), -1, np.int64)
    # What one query reads once should not leave the core's cache; many queries read a block again and again.
    step = min(BLOCK_ROWS, max(SMALL_BLOCK_ROWS, SMALL_BLOCK_ROWS // 4 * len(queries)))
    for ids, block in _selected_blocks(vectors, rows, step):
        look()
        wide = _widened(block)
        near = min(k, len(block))
        new_scores, positions = faiss.knn(queries, wide, near, faiss.METRIC_INNER_PRODUCT)
        new_rows = np.where(positions >= 0, ids[np.maximum(positions, 0)], -1)
        scores, found = best_rows(
            np.concatenate([scores, new_scores], axis=1), np.concatenate([found, new_rows], axis=1), k
        )
    return scores, found


def _selected_blocks(
    vectors: ShardVectors, rows: np.ndarray | None, step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if rows is None:
        for start, block in vectors.blocks(step):
            yield np.arange(start, start + len(block)), block
        return
    for first in range(0, len(rows), step):
        ids = rows[first : first + step]
        yield ids, vectors.take(ids)


def best_rows(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of scores (q, s) and rows (q, s), padded with (-inf, -1); equal scores by row."""
    if scores.shape[1] > SORTED_WHOLE * max(1, k):
        return _best_of_many(scores, rows, k)
    rows = np.where(np.isneginf(scores), -1, rows)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    top, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    missing = k - top.shape[1]
    if missing > 0:
        top = np.pad(top, ((0, 0), (0, missing)), constant_values=-np.inf)
        ids = np.pad(ids, ((0, 0), (0, missing)), constant_values=-1)
    return top, ids


def _best_of_many(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`best_rows` of lists much longer than k: only what reaches the k-th score is sorted."""
    top = np.full((len(scores), k), -np.inf, scores.dtype)
    ids = np.full((len(scores), k), -1, rows.dtype)
    if k:
        for number, own in enumerate(scores):
            least = np.partition(own, len(own) - k)[len(own) - k]
            there = np.flatnonzero((own >= least) & ~np.isneginf(own))
            order = there[np.lexsort((rows[number, there], -own[there]))[:k]]
            top[number, : len(order)], ids[number, : len(order)] = own[order], rows[number, order]
    return top, ids
