"""Hashes of document ids: 16 bytes each, sorted, in one file a slice that can be read by ranges.

At a billion documents the chance that two ids share a hash is about 1e-21, so equal hashes are equal ids.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from retrieval.errors import IndexDamaged
from retrieval.storage import FileRecord, Store, storage_errors

PREFIXES = 256  # ranges that a file can be read by: the first byte of a hash
_TABLE_BYTES = 128 + 8 * (PREFIXES + 1)  # a .npy header of version 1 and the offsets
_HEADER_BYTES = _TABLE_BYTES + 128


def id_hash(doc_id: str) -> bytes:
    """16 bytes that stand for a document's id (BLAKE2b)."""
    return hashlib.blake2b(doc_id.encode("utf-8"), digest_size=16).digest()


def write_ids(path: Path, hashes: Sequence[bytes]) -> None:
    """Two arrays one after the other: offsets by first byte (257,) int64, then (n, 2) big-endian uint64."""
    values = np.frombuffer(b"".join(hashes), dtype=">u8").reshape(-1, 2)
    values = values[np.lexsort((values[:, 1], values[:, 0]))]
    first = (values[:, 0] >> np.uint64(56)).astype(np.int64)
    offsets = np.searchsorted(first, np.arange(PREFIXES + 1)).astype(np.int64)
    with open(path, "wb") as file:
        np.save(file, offsets, allow_pickle=False)
        np.save(file, values, allow_pickle=False)


def read_ids(store: Store, record: FileRecord, first: int, last: int) -> np.ndarray:
    """(n, 2) uint64 hashes whose first byte is in [first, last), sorted. Raises IndexDamaged."""
    path = store.path(record.key)
    with storage_errors(store.url):
        table = store.fs.cat_file(path, start=0, end=_TABLE_BYTES)
    if len(table) != _TABLE_BYTES:
        raise _damaged(store, record)
    # Both headers have 128 bytes, and the table is all that is read of them.
    offsets = np.frombuffer(table[_TABLE_BYTES - 8 * (PREFIXES + 1) :], "<i8").tolist()
    rows = (record.bytes - _HEADER_BYTES) // 16
    if offsets[0] != 0 or offsets[-1] != rows or any(later < earlier for earlier, later in pairwise(offsets)):
        raise _damaged(store, record)
    span = [_HEADER_BYTES + 16 * offsets[place] for place in (first, last)]
    with storage_errors(store.url):
        data = store.fs.cat_file(path, start=span[0], end=span[1]) if span[1] > span[0] else b""
    if len(data) != span[1] - span[0]:
        raise _damaged(store, record)
    return np.frombuffer(data, dtype=">u8").reshape(-1, 2).astype(np.uint64)


def _damaged(store: Store, record: FileRecord) -> IndexDamaged:
    return IndexDamaged(
        f"{store.url}/{record.key} is not sorted hashes of ids, or truncated",
        hint="Delete it and its marker, then build again.",
    )
