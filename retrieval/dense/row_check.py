"""Check in constant memory that a stream of rows is exactly a range, each row once, in any order."""

from pathlib import Path

import numpy as np

from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT

BLOCK = 1 << 17


class RowCheck:
    """Compares count, bounds and a sum of 64-bit hashes of the rows with those of the range.

    A lost and a doubled row change the sum; that another set of rows has the same one has a
    probability of about 2**-64.
    """

    def __init__(self, first: int, count: int) -> None:
        self._first, self._count = first, count
        self._seen = 0
        self._sum = np.uint64(0)
        self._held: list[np.ndarray] = []
        self._held_rows = 0

    def add(self, rows: np.ndarray) -> None:
        """Take rows, int64; they are hashed many at a time, since lists can be short."""
        self._held.append(rows)
        self._held_rows += len(rows)
        if self._held_rows >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._held_rows:
            return
        rows = np.concatenate(self._held)
        self._held, self._held_rows = [], 0
        self._seen += len(rows)
        self._sum = _add(self._sum, rows)

    def finish(self, where: Path) -> None:
        """Raise IndexDamaged unless the rows were first .. first + count - 1, each once."""
        self._flush()
        expected = np.uint64(0)
        for start in range(self._first, self._first + self._count, BLOCK):
            stop = min(start + BLOCK, self._first + self._count)
            expected = _add(expected, np.arange(start, stop, dtype=np.int64))
        if self._seen != self._count or self._sum != expected:
            raise IndexDamaged(
                f"The lists merged into {where} do not hold rows {self._first} to "
                f"{self._first + self._count - 1}, each once ({self._seen} rows).",
                hint=DAMAGE_HINT,
            )


def _add(total: np.uint64, rows: np.ndarray) -> np.uint64:
    with np.errstate(over="ignore"):
        return np.uint64(total + _mix(rows).sum(dtype=np.uint64))


def _mix(rows: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014), uint64 of the same shape."""
    z = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
