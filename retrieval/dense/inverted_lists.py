"""Inverted lists on disk: the one writer and the one reader of `lists.bin`.

A folder holds `shard.json` (counts, checked), `sizes.npy` (int64, vectors of each list) and
`lists.bin`: for each list its codes, then its rows as int64, with nothing between the lists. That is
the layout in which FAISS maps inverted lists, so it is searched where it lies. A piece has the same
files, with rows that start at `first_row`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
from pydantic import Field

from retrieval.errors import IndexDamaged, StorageError
from retrieval.format import (
    DAMAGE_HINT,
    ROW_BYTES,
    DenseSpec,
    FileEntry,
    check_file,
    crc32_of,
    map_npy,
    read_header,
    write_header,
)
from retrieval.storage import Count, Shape

LISTS_HEADER = "shard.json"
SIZES = "sizes.npy"
LISTS = "lists.bin"
MAX_VECTORS = 1 << 48  # a larger count is not one


class _Header(Shape):
    type: str
    dimension: Count
    quantizer: str
    vectors: Annotated[int, Field(ge=0, lt=MAX_VECTORS)]
    first_row: Annotated[int, Field(ge=0, lt=MAX_VECTORS)]
    nlist: Count = 0
    code_size: Count = 0
    sizes_bytes: Count = 0
    sizes_crc32: Count = 0
    graph_bytes: Count | None = None
    graph_crc32: Count | None = None


@dataclass(frozen=True)
class StoredShard:
    """The checked header of a shard or a piece; `sizes` is empty where the type has no lists."""

    folder: Path
    type: str
    vectors: int
    first_row: int
    quantizer: str
    sizes: np.ndarray
    code_size: int
    graph: FileEntry | None

    @property
    def lists_path(self) -> Path:
        """The file of codes and rows."""
        return self.folder / LISTS


def write_shard(
    folder: Path,
    spec: DenseSpec,
    quantizer: str,
    vectors: int,
    first_row: int,
    *,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write the header, last: a folder without it is not a shard."""
    values: dict[str, Any] = {
        "type": spec.type, "vectors": vectors, "first_row": first_row,
        "quantizer": quantizer, "dimension": spec.dimension, **(extra or {}),
    }  # fmt: skip
    if spec.is_ivf:
        sizes = folder / SIZES
        values |= {
            "nlist": spec.nlist, "code_size": spec.code_size,
            "sizes_bytes": sizes.stat().st_size, "sizes_crc32": crc32_of(sizes),
        }  # fmt: skip
    write_header(folder / LISTS_HEADER, values)


def write_lists(folder: Path, spec: DenseSpec, sizes: np.ndarray, buffers: Iterable[Any]) -> int:
    """Write `sizes.npy` and `lists.bin` from buffers in file order; return the bytes of `lists.bin`.

    `sizes` is int64 (nlist,). Raises StorageError where the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected = int(sizes.sum()) * (spec.code_size + ROW_BYTES)
    written = 0
    try:
        np.save(folder / SIZES, sizes.astype("<i8"), allow_pickle=False)
        with (folder / LISTS).open("wb", buffering=1 << 20) as file:
            for buffer in buffers:
                written += file.write(buffer)
    except OSError as error:
        raise StorageError(
            f"Cannot write {folder / LISTS} ({expected} bytes): {error.strerror}",
            hint="Make room for it and run the same command again: it goes on from here.",
        ) from error
    if written != expected:
        raise IndexDamaged(f"{folder / LISTS} got {written} bytes, expected {expected}.", hint=DAMAGE_HINT)
    return written


def open_stored(folder: Path, spec: DenseSpec, quantizer: str) -> StoredShard:
    """Check a shard's or a piece's structure and sizes, without reading its lists.

    Raises IndexDamaged where a file is missing, truncated, or made for another spec or quantizer.
    """
    header = read_header(folder / LISTS_HEADER, _Header)
    expected = {"type": spec.type, "dimension": spec.dimension, "quantizer": quantizer}
    if spec.is_ivf:
        expected |= {"nlist": spec.nlist, "code_size": spec.code_size}
    for name, value in expected.items():
        found = getattr(header, name)
        if found != value:
            raise IndexDamaged(
                f"{folder / LISTS_HEADER} has {name} {str(found)[:40]!a}, the index has {str(value)!a}.",
                hint=DAMAGE_HINT,
            )
    sizes = _open_sizes(folder, header, spec) if spec.is_ivf else np.empty(0, np.int64)
    graph = None
    if header.graph_bytes is not None and header.graph_crc32 is not None:
        graph = FileEntry(bytes=header.graph_bytes, crc32=header.graph_crc32)
    return StoredShard(
        folder, spec.type, header.vectors, header.first_row, quantizer, sizes, spec.code_size, graph
    )


def _open_sizes(folder: Path, header: _Header, spec: DenseSpec) -> np.ndarray:
    path = folder / SIZES
    check_file(path, header.sizes_bytes, header.sizes_crc32)
    sizes = map_npy(path, "<i8", (spec.nlist,), "list sizes").numpy().copy()
    # The file of the lists bounds the vectors, and these every size and so their sum.
    check_file(folder / LISTS, header.vectors * (spec.code_size + ROW_BYTES))
    if ((sizes < 0) | (sizes > header.vectors)).any():
        raise IndexDamaged(f"{path} is not {spec.nlist} list sizes.", hint=DAMAGE_HINT)
    total = sum(sizes.tolist())
    if total != header.vectors:
        raise IndexDamaged(f"{path} adds up to {total} vectors, expected {header.vectors}.", hint=DAMAGE_HINT)
    return sizes


def map_lists(stored: StoredShard) -> "faiss.InvertedLists":
    """The lists as FAISS sees them, mapped read-only; the caller owns the result."""
    nlist = len(stored.sizes)
    if stored.vectors == 0:  # an empty file cannot be mapped
        return faiss.ArrayInvertedLists(nlist, stored.code_size)
    lists = faiss.OnDiskInvertedLists(nlist, stored.code_size, str(stored.lists_path))
    lists.read_only = True
    sizes = np.ascontiguousarray(stored.sizes, np.uint64)
    lists.set_all_lists_sizes(faiss.swig_ptr(sizes))
    lists.totsize = stored.vectors * (stored.code_size + ROW_BYTES)
    try:
        lists.do_mmap()
    except RuntimeError as error:
        raise IndexDamaged(f"{stored.lists_path} cannot be mapped: {error}", hint=DAMAGE_HINT) from error
    return lists
