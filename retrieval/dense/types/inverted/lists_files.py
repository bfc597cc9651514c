"""Inverted lists on disk: the one writer and the one reader of `lists.bin`.

Beside `shard.json` a folder holds `sizes.npy` (int64, vectors of each list) and
`lists.bin`: for each list its codes, then its rows as int64, with nothing between the lists. That is
the layout in which FAISS maps inverted lists, so it is searched where it lies. A piece has the same
files, with rows that start at `first_row`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.dense.stored_shard import ShardHeader, check_values
from retrieval.errors import IndexDamaged, StorageError
from retrieval.format import DAMAGE_HINT, ROW_BYTES, FaissSpec, check_file, crc32_of, map_npy
from retrieval.storage import Count

SIZES = "sizes.npy"
LISTS = "lists.bin"


class ListsHeader(ShardHeader):
    """What shards and pieces with lists say beside what all say."""

    nlist: Count
    code_size: Count
    sizes_bytes: Count
    sizes_crc32: Count


def lists_header(folder: Path, spec: FaissSpec, code_size: int) -> dict[str, Any]:
    """What the header says of lists that are written."""
    sizes = folder / SIZES
    return {
        "nlist": spec.nlist, "code_size": code_size,
        "sizes_bytes": sizes.stat().st_size, "sizes_crc32": crc32_of(sizes),
    }  # fmt: skip


def write_lists(folder: Path, code_size: int, sizes: np.ndarray, buffers: Iterable[Any]) -> None:
    """Write `sizes.npy` and `lists.bin` from buffers in file order.

    `sizes` is int64 (nlist,). Raises StorageError where the disk is full.
    """
    expected = int(sizes.sum()) * (code_size + ROW_BYTES)
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


def read_sizes(folder: Path, header: ListsHeader, spec: FaissSpec, code_size: int) -> np.ndarray:
    """Vectors of each list, int64 (nlist,), of lists whose size in bytes is right; the lists are not read.

    Raises IndexDamaged where a file is missing or truncated, or made for other lists.
    """
    check_values(folder, header, {"nlist": spec.nlist, "code_size": code_size})
    path = folder / SIZES
    check_file(path, header.sizes_bytes, header.sizes_crc32)
    sizes = map_npy(path, "<i8", (spec.nlist,), "list sizes").numpy().copy()
    # The file of the lists bounds the vectors, and these every size and so their sum.
    check_file(folder / LISTS, header.vectors * (code_size + ROW_BYTES))
    if ((sizes < 0) | (sizes > header.vectors)).any():
        raise IndexDamaged(f"{path} is not {spec.nlist} list sizes.", hint=DAMAGE_HINT)
    total = sum(sizes.tolist())
    if total != header.vectors:
        raise IndexDamaged(f"{path} adds up to {total} vectors, expected {header.vectors}.", hint=DAMAGE_HINT)
    return sizes


def map_lists(folder: Path, sizes: np.ndarray, code_size: int) -> "faiss.InvertedLists":
    """The lists as FAISS sees them, mapped read-only; the caller owns the result."""
    vectors = int(sizes.sum())
    if vectors == 0:  # an empty file cannot be mapped
        return faiss.ArrayInvertedLists(len(sizes), code_size)
    lists = faiss.OnDiskInvertedLists(len(sizes), code_size, str(folder / LISTS))
    lists.read_only = True
    wide = np.ascontiguousarray(sizes, np.uint64)
    lists.set_all_lists_sizes(faiss.swig_ptr(wide))
    lists.totsize = vectors * (code_size + ROW_BYTES)
    try:
        lists.do_mmap()
    except RuntimeError as error:
        raise IndexDamaged(f"{folder / LISTS} cannot be mapped: {error}", hint=DAMAGE_HINT) from error
    return lists
