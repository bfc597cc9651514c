"""Merge pieces into a shard and shards into a larger shard."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.dense.index_type import MergeWork
from retrieval.dense.making.pieces import BuildStats, written_bytes
from retrieval.dense.quantizer import Quantizer, open_stored
from retrieval.dense.settings import DenseSettings
from retrieval.dense.stored_shard import StoredShard, write_shard_header
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import DAMAGE_HINT, ShardVectors


def merge_pieces(
    quantizer: Quantizer,
    folders: Sequence[Path],
    out: Path,
    *,
    vectors: ShardVectors | None = None,
    settings: DenseSettings | None = None,
    threads: int = 1,
) -> BuildStats:
    """Merge pieces, which hold consecutive rows of one shard, into that shard, or into a larger piece.

    vectors: the shard's, for types that make a shard of them. Raises IndexDamaged where pieces are
    missing or do not hold exactly their rows, ConfigError where a shard is too large for its type,
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
    return _merge(quantizer, _work(stored, [0] * len(stored), first, out, vectors, settings, threads))


def merge_shards(
    quantizer: Quantizer,
    folders: Sequence[Path],
    out: Path,
    *,
    vectors: ShardVectors | None = None,
    settings: DenseSettings | None = None,
    threads: int = 1,
) -> BuildStats:
    """Merge shards, in this order, into one: the rows of each follow those of the one before it.

    `vectors`: those of the merged shard. Otherwise as `merge_pieces`.
    """
    stored = _open_all(quantizer, folders)
    if any(shard.first_row for shard in stored):
        raise ConfigError("merge_shards takes shards; pieces are merged with merge_pieces.")
    offsets = np.cumsum([0, *(shard.vectors for shard in stored[:-1])]).tolist()
    return _merge(quantizer, _work(stored, offsets, 0, out, vectors, settings, threads))


def _open_all(quantizer: Quantizer, folders: Sequence[Path]) -> list[StoredShard]:
    if not folders:
        raise ConfigError("There is nothing to merge.")
    return [open_stored(folder, quantizer) for folder in folders]


def _work(
    stored: list[StoredShard], offsets: list[int], first_row: int, out: Path, vectors: ShardVectors | None,
    settings: DenseSettings | None, threads: int,
) -> MergeWork:  # fmt: skip
    total = sum(piece.vectors for piece in stored)
    return MergeWork(stored, offsets, first_row, total, out, vectors, settings or DenseSettings(), threads)


def _merge(quantizer: Quantizer, work: MergeWork) -> BuildStats:
    start = time.perf_counter()
    work.out.mkdir(parents=True, exist_ok=True)
    own = quantizer.kind.merge(quantizer.trained, quantizer.spec, work)
    write_shard_header(work.out, quantizer.spec, quantizer.id, work.total, work.first_row, own)
    return BuildStats(work.total, written_bytes(work.out), time.perf_counter() - start)
