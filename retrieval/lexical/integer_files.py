"""Flat files of unsigned little-endian integers: written in pieces, memory-mapped, checked by size."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from retrieval.format import check_file
from retrieval.storage import Count, Shape

DTYPES: dict[str, np.dtype[Any]] = {
    "u1": np.dtype("<u1"),
    "u2": np.dtype("<u2"),
    "u4": np.dtype("<u4"),
    "u8": np.dtype("<u8"),
}


def smallest_dtype(largest: int) -> str:
    """Name of the smallest type that holds every value up to `largest`, so that counts stay exact."""
    return next(name for name, dtype in DTYPES.items() if largest <= np.iinfo(dtype).max)


class ArrayWriter:
    """Appends arrays to one file; `entry` is what a header says of it afterwards."""

    def __init__(self, path: Path, dtype: str) -> None:
        self._file = path.open("wb")
        self._dtype = dtype
        self._count = 0

    def append(self, values: np.ndarray) -> None:
        """Write values, which must fit the type."""
        np.ascontiguousarray(values, DTYPES[self._dtype]).tofile(self._file)
        self._count += len(values)

    def close(self) -> dict[str, Any]:
        """Finish the file; its entry."""
        self._file.close()
        return self.entry

    @property
    def entry(self) -> dict[str, Any]:
        """Type and number of values written."""
        return {"dtype": self._dtype, "count": self._count}


class ArrayEntry(Shape):
    """What a header says of such a file."""

    dtype: Literal["u1", "u2", "u4", "u8"]
    count: Count


def map_array(path: Path, entry: ArrayEntry) -> np.ndarray:
    """Map a file that a header has an `entry` of, read-only. Raises IndexDamaged where they differ."""
    dtype, count = DTYPES[entry.dtype], entry.count
    check_file(path, count * dtype.itemsize)
    if not count:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r", shape=(count,)).view(np.ndarray)
