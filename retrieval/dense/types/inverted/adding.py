"""Fill lists: assign vectors to them, encode them, and put codes and rows in the order of the lists."""

from collections.abc import Iterator

import faiss
import numpy as np
import torch

from retrieval.dense.gpu import flat_index, gpu_count
from retrieval.dense.types.inverted.trained_index import TrainedLists
from retrieval.format import ShardVectors

WRITE_ROWS = 65_536  # codes put in the order of their lists at a time


def encode(trained: TrainedLists, vectors: ShardVectors, code_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists, int32 (n,), and codes, uint8 (n, code_size). A GPU assigns where there is one."""
    assigner = _assigner(trained)
    lists = np.empty(len(vectors), np.int32)
    codes = np.empty((len(vectors), code_size), np.uint8)
    for first, block in vectors.blocks():
        wide = trained.rotate(torch.from_numpy(block).float().numpy())
        _, assigned = assigner.search(wide, 1)
        assigned = np.ascontiguousarray(assigned[:, 0])
        span = slice(first, first + len(wide))
        lists[span] = assigned
        trained.index.encode_vectors(
            len(wide), faiss.swig_ptr(wide), faiss.swig_ptr(assigned), faiss.swig_ptr(codes[span])
        )
    return lists, codes


def _assigner(trained: TrainedLists) -> "faiss.Index":
    """The coarse quantizer; on a GPU an exact one of the same centroids."""
    coarse = trained.index.quantizer
    if not gpu_count():
        if trained.spec.coarse == "hnsw":  # one list is wanted, the right one: look wider than for queries
            faiss.downcast_index(coarse).hnsw.efSearch = 128
        return coarse
    exact = flat_index(trained.spec.dimension, faiss.METRIC_INNER_PRODUCT)
    exact.add(coarse.reconstruct_n(0, trained.spec.nlist))
    return exact


def in_list_order(
    sizes: np.ndarray, order: np.ndarray, codes: np.ndarray, first_row: int
) -> Iterator[np.ndarray]:
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
