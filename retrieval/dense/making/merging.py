"""Merge pieces into a shard and shards into a larger shard: list by list on disk, in constant memory."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from retrieval.dense.inverted_lists import StoredShard, open_stored, write_lists, write_shard
from retrieval.dense.making.add import BuildStats
from retrieval.dense.making.graph import build_graph
from retrieval.dense.making.row_check import RowCheck
from retrieval.dense.quantizer import Quantizer
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import DAMAGE_HINT, ROW_BYTES, ShardVectors

COPY_BYTES = 1 << 18  # of a long list
READ_BYTES = 4 << 20  # read ahead, shared by all sources
MIN_BUFFER = 1 << 16
LISTS_AT_ONCE = 1024


def merge_pieces(
    quantizer: Quantizer,
    folders: Sequence[Path],
    out: Path,
    *,
    vectors: ShardVectors | None = None,
    hnsw_max_vectors: int = 0,
    threads: int = 1,
) -> BuildStats:
    """Merge pieces, which hold consecutive rows of one shard, into that shard, or into a larger piece.

    Memory depends on neither the vectors nor the lists' lengths. For `hnsw` the graph is built from
    the shard's `vectors`, in memory, up to hnsw_max_vectors. Raises IndexDamaged where pieces are
    missing or do not hold exactly their rows, ConfigError where a graph would be too large,
    StorageError where the disk is full.
    """
    stored = sorted(_open_all(quantizer, folders), key=lambda piece: (piece.first_row, piece.vectors))
    first = stored[0].first_row
    expected = first
    for piece in stored:
        if piece.first_row != expected:
            raise IndexDamaged(
                f"{piece.folder} starts at row {piece.first_row}, row {expected} was expected: "
                "a piece is missing or given twice.",
                hint=DAMAGE_HINT,
            )
        expected += piece.vectors
    return _merge(quantizer, stored, [0] * len(stored), first, out, vectors, hnsw_max_vectors, threads)


def merge_shards(
    quantizer: Quantizer,
    folders: Sequence[Path],
    out: Path,
    *,
    vectors: ShardVectors | None = None,
    hnsw_max_vectors: int = 0,
    threads: int = 1,
) -> BuildStats:
    """Merge shards, in this order, into one: the rows of each follow those of the one before it.

    `vectors` (for `hnsw`) are those of the merged shard. Otherwise as `merge`.
    """
    stored = _open_all(quantizer, folders)
    if any(shard.first_row for shard in stored):
        raise ConfigError("merge_shards takes shards; pieces are merged with merge_pieces.")
    offsets = np.cumsum([0, *(shard.vectors for shard in stored[:-1])]).tolist()
    return _merge(quantizer, stored, offsets, 0, out, vectors, hnsw_max_vectors, threads)


def _open_all(quantizer: Quantizer, folders: Sequence[Path]) -> list[StoredShard]:
    if not folders:
        raise ConfigError("There is nothing to merge.")
    return [open_stored(folder, quantizer.spec, quantizer.id) for folder in folders]


def _merge(
    quantizer: Quantizer,
    stored: list[StoredShard],
    offsets: list[int],
    first_row: int,
    out: Path,
    vectors: ShardVectors | None,
    hnsw_max_vectors: int,
    threads: int,
) -> BuildStats:
    spec = quantizer.spec
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    total = sum(piece.vectors for piece in stored)
    written = 0
    extra: dict[str, Any] = {}
    if spec.is_ivf:
        sizes = sum((piece.sizes for piece in stored), np.zeros(spec.nlist, np.int64))
        check = RowCheck(first_row, total)
        written = write_lists(out, spec, sizes, _merged(stored, offsets, check))
        check.finish(out)
    elif spec.type == "hnsw":
        if vectors is None or len(vectors) != total:
            raise ConfigError(f"A graph over {total} vectors is built from them; they were not given.")
        extra = build_graph(spec, vectors, out, max_vectors=hnsw_max_vectors, threads=threads)
        written = extra.get("graph_bytes", 0)
    write_shard(out, spec, quantizer.id, total, first_row, extra=extra)
    return BuildStats(total, written, time.perf_counter() - start)


def _merged(stored: list[StoredShard], offsets: list[int], check: RowCheck) -> Iterator[Any]:
    """The bytes of the merged `lists.bin`; every source is read once, from front to back."""
    buffering = max(MIN_BUFFER, READ_BYTES // len(stored))
    code_size = stored[0].code_size
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(piece.lists_path.open("rb", buffering=buffering)) for piece in stored]
        for sizes in _list_sizes(stored):
            present = np.flatnonzero(sizes).tolist()
            for number in present:
                yield from _read(files[number], int(sizes[number]) * code_size)
            for number in present:
                for buffer in _read(files[number], int(sizes[number]) * ROW_BYTES):
                    rows = np.frombuffer(buffer, "<i8") + offsets[number]
                    check.add(rows)
                    yield rows


def _list_sizes(stored: list[StoredShard]) -> Iterator[np.ndarray]:
    """For each list its size in every source, int64 (sources,)."""
    for first in range(0, len(stored[0].sizes), LISTS_AT_ONCE):
        yield from np.stack([piece.sizes[first : first + LISTS_AT_ONCE] for piece in stored], axis=1)


def _read(file: BinaryIO, count: int) -> Iterator[bytes]:
    while count:
        buffer = file.read(min(count, COPY_BYTES))
        if not buffer:
            raise IndexDamaged(f"{file.name} ends too early.", hint=DAMAGE_HINT)
        count -= len(buffer)
        yield buffer
