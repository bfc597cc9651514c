"""Build a piece: a range of vectors in the form of the index, with explicit rows."""

import time
from dataclasses import dataclass
from pathlib import Path

import faiss

from retrieval.dense.quantizer import Quantizer
from retrieval.dense.stored_shard import SHARD_HEADER, write_shard_header
from retrieval.format import ShardVectors


@dataclass(frozen=True)
class BuildStats:
    """What a piece or a merge wrote: `bytes` of its type's files, in `seconds` of wall time."""

    vectors: int
    bytes: int
    seconds: float


def build_piece(
    quantizer: Quantizer, vectors: ShardVectors, first_row: int, folder: Path, *, threads: int
) -> BuildStats:
    """Write a piece: the vectors' rows in the shard are first_row, first_row + 1, ...

    Memory is bounded by what the type makes of the piece. Raises StorageError where the disk is full.
    """
    faiss.omp_set_num_threads(threads)
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    own = quantizer.kind.add(quantizer.trained, quantizer.spec, vectors, first_row, folder)
    write_shard_header(folder, quantizer.spec, quantizer.id, len(vectors), first_row, own)
    return BuildStats(len(vectors), written_bytes(folder), time.perf_counter() - start)


def written_bytes(folder: Path) -> int:
    """Bytes of a shard's or piece's files, its header apart."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.name != SHARD_HEADER)
