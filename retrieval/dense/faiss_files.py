"""The layout of FAISS's files, read before FAISS reads them: it believes every length and number in them.

Only the few kinds of files that a build writes are known, and every one of their values that FAISS computes
an address or an allocation from is compared with the spec. What is let through has no length that the file
does not have, no other file's name, no nested index and no neighbour that is not there.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, FaissSpec

T = TypeVar("T")
_MOST = 1e6  # of a value: what is trained on float16 vectors has none as large
_MOST_LEVELS = 64  # FAISS has none for a chance below 1e-9


class Walk:
    """Goes through a file from front to back. What is not as it has to be raises IndexDamaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
        self._at = 0

    def value(self, code: str) -> Any:
        """One value, as `struct` codes it."""
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self._take(size).tobytes())[0]

    def values(self, **wanted: tuple[str, Any]) -> None:
        """Values, by name: how each is coded and what it has to be."""
        for name, (code, value) in wanted.items():
            self.expect(name, self.value(code), value)

    def array(self, dtype: str, wanted: int | None = None) -> np.ndarray:
        """An array with its length in front; floating-point values may not overflow what is made of them."""
        count = self.value("Q")
        if wanted is not None:
            self.expect("a length", count, wanted)
        found = self._take(count * np.dtype(dtype).itemsize).view(dtype)
        if found.dtype.kind == "f" and len(found) and not is_moderate(found):
            raise self.damaged("it has values that are not finite, or very large")
        return found

    def expect(self, name: str, found: Any, wanted: Any) -> None:
        """Compare."""
        if found != wanted:
            raise self.damaged(f"{name} is {found!a}, expected {wanted!a}")

    def end(self) -> None:
        """There is nothing more."""
        self.expect("its size", len(self._data), self._at)

    def damaged(self, reason: str) -> IndexDamaged:
        """The error to raise."""
        return IndexDamaged(f"{self.path} is not what FAISS writes here: {reason}.", hint=DAMAGE_HINT)

    def _take(self, size: int) -> np.ndarray:
        if size > len(self._data) - self._at:
            raise self.damaged("it ends too early")
        self._at += size
        return self._data[self._at - size : self._at]


def is_moderate(values: np.ndarray) -> bool:
    """Whether no value is NaN, infinite or very large."""
    return bool(values.min() >= -_MOST and values.max() <= _MOST)


def check_lists_index(
    path: Path, spec: FaissSpec, kind: bytes, code_size: int, codec: Callable[[Walk], None]
) -> None:
    """A trained, empty index with inverted lists; `codec` checks what the kind has. Raises IndexDamaged."""
    walk = Walk(path)
    _header(walk, kind, spec, 0)
    walk.values(nlist=("Q", spec.nlist))
    walk.value("Q")  # nprobe; a search brings its own
    if spec.coarse == "hnsw":
        _header(walk, b"IHNf", spec, spec.nlist)
        _graph(walk, spec, spec.nlist)
    _header(walk, b"IxFI", spec, spec.nlist)
    walk.array("<f4", spec.nlist * spec.dimension)
    walk.values(direct_map=("B", 0))
    walk.array("<i8", 0)
    codec(walk)
    walk.values(
        lists=("4s", b"ilar"), nlist=("Q", spec.nlist), code_size=("Q", code_size), sizes=("4s", b"sprs")
    )
    walk.array("<u8", 0)
    walk.end()


def check_transform(path: Path, spec: FaissSpec) -> None:
    """A rotation. Raises IndexDamaged."""
    walk = Walk(path)
    walk.values(kind=("4s", b"LTra"), bias=("B", 0))
    walk.array("<f4", spec.dimension * spec.dimension)
    walk.array("<f4", 0)
    walk.values(d_in=("i", spec.dimension), d_out=("i", spec.dimension), trained=("B", 1))
    walk.end()


def check_graph(path: Path, spec: FaissSpec, vectors: int) -> None:
    """A graph without its vectors. Raises IndexDamaged."""
    walk = Walk(path)
    _header(walk, b"IHNs", spec, vectors)
    _graph(walk, spec, vectors)
    walk.values(storage=("4s", b"null"))
    walk.end()


def _header(walk: Walk, kind: bytes, spec: FaissSpec, vectors: int) -> None:
    walk.values(kind=("4s", kind), d=("i", spec.dimension), ntotal=("q", vectors))
    walk.value("q"), walk.value("q")  # FAISS skips them too
    walk.values(trained=("B", 1), inner_product=("i", 0))


def _graph(walk: Walk, spec: FaissSpec, nodes: int) -> None:
    """HNSW: the neighbours of every node, level by level, in one array."""
    walk.array("<f8")  # chances of a level, for building
    ends, levels = walk.array("<i4"), walk.array("<i4", nodes)
    # 2 M neighbours at level 0 and M above: where those of a level begin among a node's own.
    expected = np.concatenate([[0], spec.hnsw_m * np.arange(2, len(ends) + 1)])
    if not 2 <= len(ends) <= _MOST_LEVELS or not np.array_equal(ends, expected):
        raise walk.damaged("its levels are not those of the spec")
    if not (levels.min() >= 1 and levels.max() < len(ends)):
        raise walk.damaged("a node has a level that there is not")
    offsets = walk.array("<u8", nodes + 1)
    wanted = np.concatenate([[0], np.cumsum(ends[levels], dtype=np.int64)]).astype(np.uint64)
    if not np.array_equal(offsets, wanted):
        raise walk.damaged("its neighbours are not where its levels say")
    neighbours = walk.array("<i4", int(wanted[-1]))
    if len(neighbours) and not (neighbours.min() >= -1 and neighbours.max() < nodes):
        raise walk.damaged("a neighbour is no node")
    for level in range(1, int(levels.max(initial=1))):
        there = np.flatnonzero(levels > level)
        places = wanted[there].astype(np.int64)[:, None] + np.arange(ends[level], ends[level + 1])
        found = neighbours[places]
        if (levels[found[found >= 0]] <= level).any():
            raise walk.damaged(f"a neighbour at level {level} is not there")
    entry, highest = walk.value("i"), walk.value("i")
    if not (0 <= entry < nodes and levels[entry] == highest + 1):
        raise walk.damaged("it is not entered at a node of its highest level")
    walk.value("i"), walk.value("i")  # widths of searches, which bring their own
    walk.values(upper_beam=("i", 1))


def read_faiss(read: Callable[[str], T], path: Path) -> T:
    """What FAISS reads from a checked file. Raises IndexDamaged."""
    try:
        return read(str(path))
    except (RuntimeError, MemoryError) as error:
        raise IndexDamaged(
            f"{path} cannot be read: {ascii(str(error)[-200:])[1:-1]}", hint=DAMAGE_HINT
        ) from error
