"""A trained, empty index with inverted lists: rotation, centroids and codebooks, shared by all shards."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from retrieval.format import FaissSpec


@dataclass(frozen=True)
class Assignment:
    """Lists that queries visit, computed once for all shards.

    queries: float32 (q, d) after the rotation, if there is one; lists: int64 (q, nprobe), -1 where
    there are fewer; products: float32 (q, nprobe), inner products with the lists' centroids.
    """

    queries: np.ndarray
    lists: np.ndarray
    products: np.ndarray

    def __getitem__(self, some: slice) -> "Assignment":
        """That of some of the queries."""
        return Assignment(self.queries[some], self.lists[some], self.products[some])

    @property
    def nprobe(self) -> int:
        """Lists a query."""
        return self.lists.shape[1]


@dataclass(frozen=True)
class TrainedLists:
    """index: a trained, empty faiss.IndexIVF; transform: a faiss.VectorTransform, or None."""

    spec: FaissSpec
    index: Any
    transform: Any = None

    def rotate(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n, d) as float32, C order, after the rotation where the spec has one."""
        wide = np.ascontiguousarray(vectors, np.float32)
        return self.transform.apply(wide) if self.transform is not None else wide

    def assign(self, queries: np.ndarray, nprobe: int) -> Assignment:
        """The nprobe lists of each query, float32 (q, d), with the largest inner products."""
        rotated = self.rotate(queries)
        nprobe = min(nprobe, self.spec.nlist)
        width = None
        if self.spec.coarse == "hnsw":
            width = faiss.SearchParametersHNSW(efSearch=max(2 * nprobe, 64))
        products, lists = self.index.quantizer.search(rotated, nprobe, params=width)
        return Assignment(rotated, lists, products)
