"""Stored token codes: two .npy files a part, memory-mapped, seen as the passages of one shard."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from retrieval.deadline import look
from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, map_npy
from retrieval.models.late_interaction import (
    Vectors,
    best_tokens,
    passage_blocks,
    ragged_offsets,
    sum_of_best,
)
from retrieval.token_codes.codec import Codes, TokenCodec

CODES = "codes.npy"  # uint8 (tokens, bytes of a code)
OFFSETS = "offsets.npy"  # int64 (passages + 1,)
MOST_TOKENS = 1 << 17  # of a passage: more than any model reads


def write_tokens(folder: Path, codes: Codes, offsets: npt.NDArray[np.int64]) -> None:
    """Write a part: codes (tokens, bytes) uint8 and offsets (passages + 1,) int64 of its passages."""
    for name, array in ((CODES, codes), (OFFSETS, offsets)):
        with (folder / name).open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)


class ShardTokens:
    """Token codes of consecutive parts, with rows local to the shard."""

    def __init__(self, folders: Sequence[Path], rows: Sequence[int], codec: TokenCodec) -> None:
        """Map the parts' files; `rows` are their passages.

        Raises IndexDamaged where a file is missing, or its header or size is not what is expected.
        """
        self.codec = codec
        self._codes: list[torch.Tensor] = []
        self._offsets: list[npt.NDArray[np.int64]] = []
        self._starts = ragged_offsets(list(rows))
        for folder, count in zip(folders, rows, strict=True):
            offsets = map_npy(folder / OFFSETS, "<i8", (count + 1,), "offsets of token codes").numpy()
            total = int(offsets[-1])
            if offsets[0] != 0 or total < 0:
                raise IndexDamaged(
                    f"The offsets of token codes {folder / OFFSETS} are damaged.", hint=DAMAGE_HINT
                )
            shape = (total, codec.code_bytes)
            self._codes.append(map_npy(folder / CODES, "|u1", shape, "token codes"))
            self._offsets.append(offsets)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def scores(self, query: Vectors, rows: npt.ArrayLike) -> Vectors:
        """MaxSim of a query (t, d) float32 with stored passages (n,) int64: (n,) float32.

        It is the MaxSim of the decoded vectors, up to the order of the sums. Raises IndexDamaged.
        """
        numbers = np.asarray(rows, np.int64)
        spans = self._spans(numbers)
        offsets = ragged_offsets(spans[:, 2] - spans[:, 1])
        table = self.codec.table(query)
        out = np.empty(len(numbers), np.float32)
        for own, _ in passage_blocks(offsets):
            look()
            products = self.codec.products(self._gather(spans[own]), table)
            out[own] = sum_of_best(products, offsets[own.start : own.stop + 1] - offsets[own.start])
        return out

    def pairs(self, query: Vectors, row: int) -> tuple[npt.NDArray[np.int64], Vectors]:
        """The token of a passage that each query token (t, d) matches best: numbers (t,), products (t,)."""
        codes = self.codes(row)
        if not len(codes):
            raise IndexDamaged(f"The passage of row {row} has no token codes.", hint=DAMAGE_HINT)
        return best_tokens(self.codec.products(codes, self.codec.table(query)).T)

    def codes(self, row: int) -> Codes:
        """Codes of one passage: uint8 (tokens, bytes of a code)."""
        return self._gather(self._spans(np.array([row])))

    def _spans(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(part, first token, end token) of each row: (n, 3) int64, checked against the files."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows outside 0..{len(self) - 1}")
        spans = np.empty((len(rows), 3), np.int64)
        spans[:, 0] = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(spans[:, 0]):
            own = np.flatnonzero(spans[:, 0] == part)
            local = rows[own] - self._starts[part]
            offsets = self._offsets[part]
            spans[own, 1], spans[own, 2] = offsets[local], offsets[local + 1]
            first, end = spans[own, 1], spans[own, 2]
            bad = (first < 0) | (first > end) | (end > offsets[-1]) | (end > first + MOST_TOKENS)
            if bad.any():
                raise IndexDamaged(
                    f"Offsets of token codes are damaged at row {int(rows[own][bad][0])}.", hint=DAMAGE_HINT
                )
        return spans

    def _gather(self, spans: npt.NDArray[np.int64]) -> Codes:
        blocks = [self._codes[part][first:end] for part, first, end in spans.tolist()]
        codes: Codes = torch.cat(blocks).numpy()
        return codes
