"""The trained quantizer of a dense index: stored once, held once per process, shared by all shards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.dense.faiss_files import check_index, check_transform, read_faiss
from retrieval.errors import IndexDamaged
from retrieval.format import (
    DAMAGE_HINT,
    DenseSpec,
    FileEntry,
    check_file,
    crc32_of,
    read_header,
    write_header,
)
from retrieval.settings import fingerprint
from retrieval.storage import Shape

HEADER = "quantizer.json"
INDEX = "index.faiss"
TRANSFORM = "transform.faiss"


class _Header(Shape):
    spec: dict[str, Any]
    files: dict[str, FileEntry]
    id: str


@dataclass(frozen=True)
class Assignment:
    """Lists that queries visit, computed once for all shards.

    queries: float32 (q, d) after the rotation, if there is one; lists: int64 (q, nprobe), -1 where
    there are fewer; products: float32 (q, nprobe), inner products with the lists' centroids.
    """

    queries: np.ndarray
    lists: np.ndarray
    products: np.ndarray

    def of(self, part: slice) -> "Assignment":
        """That of some of the queries."""
        return Assignment(self.queries[part], self.lists[part], self.products[part])

    @property
    def nprobe(self) -> int:
        """Lists a query."""
        return self.lists.shape[1]


class Quantizer:
    """Rotation, coarse quantizer and codebooks. For `flat` and `hnsw` it is empty."""

    def __init__(self, spec: DenseSpec, index: Any, transform: Any) -> None:
        """index: a trained, empty faiss.IndexIVF, or None; transform: a faiss.VectorTransform, or None."""
        self.spec = spec
        self.index = index
        self.transform = transform
        self.id = ""  # set on writing and opening: names the exact files

    def write(self, folder: Path) -> None:
        """Write the trained, empty index into a folder, its header last; sets `id`."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.index is not None:
            faiss.write_index(self.index, str(folder / INDEX))
        if self.transform is not None:
            faiss.write_VectorTransform(self.transform, str(folder / TRANSFORM))
        files = {
            name: {"bytes": (folder / name).stat().st_size, "crc32": crc32_of(folder / name)}
            for name in _names(self.spec)
        }
        values = {"spec": self.spec.artefact_values(), "files": files}
        self.id = fingerprint(values)
        write_header(folder / HEADER, {**values, "id": self.id})

    @classmethod
    def open(cls, folder: Path, spec: DenseSpec) -> "Quantizer":
        """Read a quantizer, every byte of it checked: it is small and is held in memory.

        Raises IndexDamaged where a file is missing or changed, or was trained for another spec.
        """
        header = read_header(folder / HEADER, _Header)
        if header.spec != spec.artefact_values():
            raise IndexDamaged(
                f"{folder} was trained for another index than {spec.factory}.", hint=DAMAGE_HINT
            )
        if sorted(header.files) != sorted(_names(spec)):
            raise IndexDamaged(
                f"{folder / HEADER} does not name the files of {spec.factory}.", hint=DAMAGE_HINT
            )
        for name, entry in header.files.items():
            check_file(folder / name, entry.bytes, entry.crc32)
        index = transform = None
        if spec.is_ivf:
            check_index(folder / INDEX, spec)
            index = read_faiss(faiss.read_index, folder / INDEX)
        if spec.opq:
            check_transform(folder / TRANSFORM, spec)
            transform = read_faiss(faiss.read_VectorTransform, folder / TRANSFORM)
        quantizer = cls(spec, index, transform)
        quantizer.id = header.id
        return quantizer

    def rotate(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n, d) as float32, C order, after the rotation where the spec has one."""
        wide = np.ascontiguousarray(vectors, np.float32)
        return self.transform.apply(wide) if self.transform is not None else wide

    def assign(self, queries: np.ndarray, nprobe: int) -> Assignment:
        """The nprobe lists of each query, float32 (q, d), with the largest inner products."""
        rotated = self.rotate(queries)
        if self.index is None:
            none = np.empty((len(rotated), 0))
            return Assignment(rotated, none.astype(np.int64), none.astype(np.float32))
        nprobe = min(nprobe, self.spec.nlist)
        width = None
        if self.spec.coarse == "hnsw":
            width = faiss.SearchParametersHNSW(efSearch=max(2 * nprobe, 64))
        products, lists = self.index.quantizer.search(rotated, nprobe, params=width)
        return Assignment(rotated, lists, products)

    def over(self, lists: "faiss.InvertedLists", vectors: int) -> "faiss.IndexIVF":
        """An index over a shard's lists that shares this coarse quantizer and these codebooks."""
        spec, trained = self.spec, self.index
        common = (trained.quantizer, spec.dimension, spec.nlist)
        if spec.type == "ivf_pq":
            index = faiss.IndexIVFPQ(*common, spec.pq_m, spec.pq_bits, faiss.METRIC_INNER_PRODUCT, False)
            index.pq = trained.pq
        else:
            index = faiss.IndexIVFScalarQuantizer(
                *common, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False, False
            )
            index.sq = trained.sq
        index.by_residual = trained.by_residual
        index.own_fields = False
        index.is_trained = True
        index.replace_invlists(lists, True)
        lists.this.disown()
        index.ntotal = vectors
        return index


def _names(spec: DenseSpec) -> list[str]:
    return ([INDEX] if spec.is_ivf else []) + ([TRANSFORM] if spec.opq else [])
