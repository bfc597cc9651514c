"""Token vectors of passages, ragged and without padding, and MaxSim over them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from retrieval.deadline import look

Vectors = npt.NDArray[np.float32]
BLOCK_TOKENS = 8_192  # passage tokens whose products with a query are held at once


@dataclass(frozen=True)
class TokenVectors:
    """Token vectors of n passages: those of passage i are vectors[offsets[i]:offsets[i + 1]].

    `vectors`: (total, d) float32. `offsets`: (n + 1,) int64, ascending from 0.
    """

    vectors: Vectors
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Vectors:
        """Vectors of one passage: (tokens, d)."""
        return self.vectors[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: npt.ArrayLike) -> "TokenVectors":
        """Passages of rows, in their order."""
        chosen = np.asarray(rows, np.int64)
        blocks = [self[int(row)] for row in chosen]
        vectors = np.concatenate(blocks) if blocks else self.vectors[:0]
        return TokenVectors(vectors, ragged_offsets([len(block) for block in blocks]))

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[tuple[npt.NDArray[np.int64], Vectors]],
        counts: npt.NDArray[np.int64],
        width: int,
    ) -> "TokenVectors":
        """Put batches in order: each has its rows and their vectors one after the other.

        counts: (n,) int64, vectors of every row; width: d.
        """
        offsets = ragged_offsets(counts)
        out = np.empty((int(offsets[-1]), width), np.float32)
        for rows, vectors in batches:
            start = 0
            for row in rows:
                out[offsets[row] : offsets[row + 1]] = vectors[start : start + counts[row]]
                start += int(counts[row])
        return cls(out, offsets)


def ragged_offsets(counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Offsets (n + 1,) int64 of rows with these counts."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)


def maxsim(query: Vectors, passages: TokenVectors) -> Vectors:
    """`sum_i max_j (q_i . p_j)` (Khattab & Zaharia 2020) of a query with each passage: (n,) float32.

    query: (t, d) float32. A passage without tokens scores 0.
    """
    out = np.zeros(len(passages), np.float32)
    vectors = torch.from_numpy(np.require(passages.vectors, np.float32, ["C", "W"]))
    tokens = torch.from_numpy(np.require(query, np.float32, ["C", "W"])).T
    for rows, span in passage_blocks(passages.offsets):
        look()
        products = (vectors[span] @ tokens).numpy()
        out[rows] = sum_of_best(products, passages.offsets[rows.start : rows.stop + 1] - span.start)
    return out


def best_pairs(query: Vectors, passage: TokenVectors) -> tuple[npt.NDArray[np.int64], Vectors]:
    """For each query token (t, d) the token of the first passage with the largest product.

    Returns its number (t,) int64 and the product (t,) float32.
    """
    return best_tokens(np.asarray(query, np.float32) @ passage[0].T)


def best_tokens(products: Vectors) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Largest product of each row of (t, tokens): its number (t,) int64 and value (t,) float32."""
    best = products.argmax(axis=1)
    return best.astype(np.int64), np.take_along_axis(products, best[:, None], 1)[:, 0]


def passage_blocks(offsets: npt.NDArray[np.int64]) -> Iterable[tuple[slice, slice]]:
    """Consecutive passages of at most BLOCK_TOKENS tokens (or a single one): (rows, tokens) as slices."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        end = int(np.searchsorted(offsets, offsets[first] + BLOCK_TOKENS, side="right")) - 1
        end = min(max(end, first + 1), rows)
        yield slice(first, end), slice(int(offsets[first]), int(offsets[end]))
        first = end


def sum_of_best(products: Vectors, offsets: npt.NDArray[np.int64]) -> Vectors:
    """Sum over query tokens of the maximum over each passage's tokens: (n,) float32.

    products: (total, t) of passage tokens with query tokens; offsets: (n + 1,). No tokens: 0.
    """
    out = np.zeros(len(offsets) - 1, np.float32)
    filled = np.flatnonzero(np.diff(offsets) > 0)
    if len(filled):
        # Empty passages take no space, so those with tokens follow each other.
        out[filled] = np.maximum.reduceat(products, offsets[filled], axis=0).sum(axis=1)
    return out
