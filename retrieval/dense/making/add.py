"""Build a piece: assign a range of vectors to lists, encode them, write the lists with explicit rows."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import torch

from retrieval.dense.inverted_lists import write_lists, write_shard
from retrieval.dense.making.gpu import flat_index, gpu_count
from retrieval.dense.quantizer import Quantizer
from retrieval.format import ShardVectors

WRITE_ROWS = 65_536  # codes put in the order of their lists at a time


@dataclass(frozen=True)
class BuildStats:
    """What a piece or a merge wrote: `bytes` of lists or graph, in `seconds` of wall time."""

    vectors: int
    bytes: int
    seconds: float


def build_piece(
    quantizer: Quantizer, vectors: ShardVectors, first_row: int, folder: Path, *, threads: int
) -> BuildStats:
    """Write a piece: the vectors' rows in the shard are first_row, first_row + 1, ...

    Memory is bounded by the piece's codes. Lists are assigned on the GPU where FAISS sees one. For
    `flat` and `hnsw` a piece is its counts alone: the vectors are stored already, and a graph is
    built when pieces are merged. Raises StorageError where the disk is full.
    """
    spec = quantizer.spec
    faiss.omp_set_num_threads(threads)
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    if spec.is_ivf:
        lists, codes = _encode(quantizer, vectors)
        sizes = np.bincount(lists, minlength=spec.nlist).astype(np.int64)
        order = np.argsort(lists, kind="stable")
        written = write_lists(folder, spec, sizes, _buffers(sizes, order, codes, first_row))
    write_shard(folder, spec, quantizer.id, len(vectors), first_row)
    return BuildStats(len(vectors), written, time.perf_counter() - start)


def _encode(quantizer: Quantizer, vectors: ShardVectors) -> tuple[np.ndarray, np.ndarray]:
    """Lists, int32 (n,), and codes, uint8 (n, code_size)."""
    spec, index = quantizer.spec, quantizer.index
    assigner = _assigner(quantizer)
    lists = np.empty(len(vectors), np.int32)
    codes = np.empty((len(vectors), spec.code_size), np.uint8)
    for first, block in vectors.blocks():
        wide = quantizer.rotate(torch.from_numpy(block).float().numpy())
        _, assigned = assigner.search(wide, 1)
        assigned = np.ascontiguousarray(assigned[:, 0])
        span = slice(first, first + len(wide))
        lists[span] = assigned
        index.encode_vectors(
            len(wide), faiss.swig_ptr(wide), faiss.swig_ptr(assigned), faiss.swig_ptr(codes[span])
        )
    return lists, codes


def _assigner(quantizer: Quantizer) -> "faiss.Index":
    """The coarse quantizer; on a GPU an exact one of the same centroids."""
    coarse = quantizer.index.quantizer
    if not gpu_count():
        if quantizer.spec.coarse == "hnsw":  # one list is wanted, the right one: look wider than for queries
            faiss.downcast_index(coarse).hnsw.efSearch = 128
        return coarse
    exact = flat_index(quantizer.spec.dimension, faiss.METRIC_INNER_PRODUCT)
    exact.add(coarse.reconstruct_n(0, quantizer.spec.nlist))
    return exact


def _buffers(sizes: np.ndarray, order: np.ndarray, codes: np.ndarray, first_row: int) -> Iterator[np.ndarray]:
    """The bytes of `lists.bin`: codes, then rows, list by list."""
    ends = np.cumsum(sizes)
    first_list = 0
    while first_list < len(sizes):
        begin = int(ends[first_list] - sizes[first_list])
        last_list = int(np.searchsorted(ends, begin + WRITE_ROWS, side="right"))
        last_list = max(last_list, first_list + 1)
        positions = order[begin : int(ends[last_list - 1])]
        ordered = codes[positions]
        rows = (positions + first_row).astype("<i8")
        at = 0
        for size in sizes[first_list:last_list].tolist():
            if size:
                yield ordered[at : at + size]
                yield rows[at : at + size]
                at += size
        first_list = last_list
