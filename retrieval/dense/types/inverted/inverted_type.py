"""What ivf_flat and ivf_pq share: lists are chosen, trained, filled, merged and searched in the same way."""

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import faiss
import numpy as np

from retrieval.dense.faiss_files import Walk, check_lists_index, read_faiss
from retrieval.dense.index_type import Demand, DenseType, MergeWork
from retrieval.dense.stored_shard import StoredShard
from retrieval.dense.types.inverted.adding import encode, in_list_order
from retrieval.dense.types.inverted.coarse import train_coarse
from retrieval.dense.types.inverted.lists_files import (
    LISTS,
    ListsHeader,
    lists_header,
    map_lists,
    read_sizes,
    write_lists,
)
from retrieval.dense.types.inverted.lists_search import ListsSearch
from retrieval.dense.types.inverted.merging import merge_lists
from retrieval.dense.types.inverted.trained_index import Assignment, TrainedLists
from retrieval.errors import BuildFailed
from retrieval.format import ROW_BYTES, FaissSpec, SearchParameters, ShardVectors

INDEX = "index.faiss"
HNSW_COARSE_FROM = 16_384  # lists
MIN_PER_LIST = 39  # training vectors, FAISS's own bound
MAX_NPROBE = 512  # that tuning tries
MOST_PROBES_FACTOR = 8  # a filter makes a search visit at most so many times as many lists


class InvertedType(DenseType):
    """Inverted lists; a subclass says what a code in them is."""

    spec = FaissSpec
    header = ListsHeader
    trains = True
    merges = True
    uses_gpu = True
    tuned = ("nprobe", "shortlist")
    kind: ClassVar[bytes]  # of the index, in FAISS's files

    @abstractmethod
    def code_size(self, spec: FaissSpec) -> int:
        """Bytes of a vector's code in an inverted list."""

    @abstractmethod
    def empty_index(self, spec: FaissSpec, coarse: Any, *, lists: bool) -> Any:
        """A faiss.IndexIVF of the spec. lists: with lists of its own; without, it is given some."""

    @abstractmethod
    def train_codes(self, spec: FaissSpec, index: Any, sample: np.ndarray, seed: int) -> None:
        """Train the codes of an index whose centroids are there. sample: float32 (n, d)."""

    @abstractmethod
    def share_codes(self, index: Any, trained: Any) -> None:
        """Have an index use the codebooks of the trained one."""

    @abstractmethod
    def check_codes(self, walk: Walk, spec: FaissSpec) -> None:
        """Check what the file of the trained index says of codes. Raises IndexDamaged."""

    def least_vectors(self, settings: Any) -> int:
        """Those that train one list."""
        return MIN_PER_LIST

    def chosen_lists(self, demand: Demand, nlist: int, least_sample: int = 0, **codes: Any) -> FaissSpec:
        """A spec with so many lists. least_sample: vectors that train the codes; codes: their values."""
        settings = demand.settings
        coarse: Literal["flat", "hnsw"] = "hnsw" if nlist >= HNSW_COARSE_FROM else "flat"
        if settings.coarse != "auto":
            coarse = settings.coarse
        wanted = max(nlist * settings.train_vectors_per_list, least_sample)
        return FaissSpec(
            type=self.name, dimension=demand.dimension, metric=demand.metric, nlist=nlist, coarse=coarse,
            hnsw_m=settings.hnsw_m, hnsw_ef_construction=settings.hnsw_ef_construction,
            train_vectors=min(demand.vectors, wanted),
            search=SearchParameters(nprobe=max(1, nlist // 16), shortlist=100), **codes,
        )  # fmt: skip

    def memory_bytes(self, spec: FaissSpec) -> float:
        """A code and its row."""
        return self.code_size(spec) + ROW_BYTES

    def row_bytes(self, spec: FaissSpec) -> dict[str, int]:
        """The lists."""
        return {LISTS: self.code_size(spec) + ROW_BYTES}

    def coarse_notation(self, spec: FaissSpec) -> str:
        """The lists in FAISS's notation."""
        return f"IVF{spec.nlist}" + (f"_HNSW{spec.hnsw_m}" if spec.coarse == "hnsw" else "")

    def shortlists(self, k: int) -> list[int]:
        """Lengths that tuning tries."""
        return [k]

    def grid(self, spec: FaissSpec, k: int) -> list[SearchParameters]:
        """Lists visited, and lengths of the shortlist."""
        most = min(spec.nlist, MAX_NPROBE)
        probes = [*(2**i for i in range(12) if 2**i < most), most]
        return [
            SearchParameters(nprobe=nprobe, shortlist=length, depth=k)
            for nprobe in probes
            for length in self.shortlists(k)
        ]

    def deepened(
        self, spec: FaissSpec, parameters: SearchParameters, k: int, share: float
    ) -> SearchParameters:
        """More lists for fewer rows: the nearest selected rows lie further away than the nearest."""
        parameters = parameters.for_depth(k)
        factor = min(MOST_PROBES_FACTOR, (1 / share) ** 0.5) if 0 < share < 1 else 1.0
        nprobe = min(spec.nlist, round(parameters.nprobe * factor))
        return parameters.model_copy(update={"nprobe": nprobe})

    def trained_files(self, spec: FaissSpec) -> list[str]:
        """The trained, empty index."""
        return [INDEX]

    def least_sample(self, spec: FaissSpec) -> int:
        """Vectors without which training fails."""
        return spec.nlist

    def check_sample(self, spec: FaissSpec, sample: np.ndarray) -> None:
        """Raise BuildFailed where a sample cannot train."""
        if sample.ndim != 2 or sample.shape[1] != spec.dimension or len(sample) < self.least_sample(spec):
            raise BuildFailed(f"A sample of shape {sample.shape} cannot train {self.notation(spec)}.")

    def train(self, spec: FaissSpec, sample: np.ndarray, seed: int, folder: Path) -> None:
        """k-means and codebooks, on a GPU where FAISS sees one; the device and the threads count too."""
        self.check_sample(spec, sample)
        sample = np.ascontiguousarray(sample, np.float32)
        index = self.empty_index(spec, train_coarse(spec, sample, seed), lists=True)
        self.train_codes(spec, index, sample, seed)
        faiss.write_index(index, str(folder / INDEX))

    def check_index(self, path: Path, spec: FaissSpec) -> None:
        """Look at a trained index before FAISS reads it. Raises IndexDamaged."""
        size = self.code_size(spec)
        check_lists_index(path, spec, self.kind, size, lambda walk: self.check_codes(walk, spec))

    def load(self, folder: Path, spec: FaissSpec) -> TrainedLists:
        """Read the trained index."""
        self.check_index(folder / INDEX, spec)
        return TrainedLists(spec, read_faiss(faiss.read_index, folder / INDEX))

    def assign(
        self, trained: TrainedLists, spec: FaissSpec, queries: np.ndarray, parameters: SearchParameters
    ) -> Assignment:
        """The lists that the queries visit."""
        return trained.assign(queries, parameters.nprobe)

    def add(
        self, trained: TrainedLists, spec: FaissSpec, vectors: ShardVectors, first_row: int, folder: Path
    ) -> dict[str, Any]:
        """Lists are assigned on the GPU where FAISS sees one. Memory is bounded by the piece's codes."""
        size = self.code_size(spec)
        lists, codes = encode(trained, vectors, size)
        sizes = np.bincount(lists, minlength=spec.nlist).astype(np.int64)
        order = np.argsort(lists, kind="stable")
        write_lists(folder, size, sizes, in_list_order(sizes, order, codes, first_row))
        return lists_header(folder, spec, size)

    def read(self, folder: Path, header: ListsHeader, spec: FaissSpec) -> np.ndarray:
        """Vectors of each list, int64 (nlist,)."""
        return read_sizes(folder, header, spec, self.code_size(spec))

    def merge(self, trained: TrainedLists, spec: FaissSpec, work: MergeWork) -> dict[str, Any]:
        """List by list on disk; memory depends on neither the vectors nor the lists' lengths."""
        size = self.code_size(spec)
        merge_lists(work, size, spec.nlist)
        return lists_header(work.out, spec, size)

    def open(
        self, stored: StoredShard, spec: FaissSpec, trained: TrainedLists, vectors: ShardVectors | None, *,
        pack: bool,
    ) -> ListsSearch:  # fmt: skip
        """The lists where they lie."""
        index = self.over(stored, spec, trained, pack=pack)
        return ListsSearch(index, trained, stored.vectors)

    def over(self, stored: StoredShard, spec: FaissSpec, trained: TrainedLists, *, pack: bool) -> Any:
        """An index over a shard's lists that shares the centroids and the codebooks."""
        index = self.empty_index(spec, trained.index.quantizer, lists=False)
        self.share_codes(index, trained.index)
        index.by_residual = trained.index.by_residual
        index.own_fields = False
        index.is_trained = True
        lists = map_lists(stored.folder, stored.contents, self.code_size(spec))
        index.replace_invlists(lists, True)
        lists.this.disown()
        index.ntotal = stored.vectors
        return index


def choose_nlist(demand: Demand) -> int:
    """About 4 sqrt(n), a power of two; never so many that training lacks vectors."""
    vectors = demand.vectors
    if demand.settings.nlist is None:
        wanted = 2 ** round(math.log2(4 * math.sqrt(vectors)))
        return max(1, min(wanted, 2 ** int(math.log2(vectors / MIN_PER_LIST))))
    nlist = demand.settings.nlist
    if nlist > vectors:
        demand.reasons.append(f"nlist {nlist:,} is lowered to the number of vectors")
        return vectors
    if nlist * MIN_PER_LIST > vectors:
        demand.reasons.append(
            f"nlist {nlist:,} leaves {vectors / nlist:.0f} training vectors a list, fewer than {MIN_PER_LIST}"
        )
    return nlist
