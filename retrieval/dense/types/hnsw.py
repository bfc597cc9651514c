"""hnsw: a graph over a shard's vectors, built and searched in memory; its file holds the graph alone."""

import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from retrieval.dense.faiss_files import check_graph, read_faiss
from retrieval.dense.index_type import Candidates, Demand, DenseType, MergeWork
from retrieval.dense.selector import row_selector
from retrieval.dense.stored_shard import ShardHeader, StoredShard
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import (
    DAMAGE_HINT,
    FaissSpec,
    FileEntry,
    SearchParameters,
    ShardVectors,
    check_file,
    crc32_of,
)
from retrieval.storage import Count

GRAPH = "graph.faiss"
WIDTHS = (16, 32, 64, 128, 256, 512)  # of a search, that tuning tries


class GraphHeader(ShardHeader):
    """A shard without rows, and a piece, have no graph."""

    graph_bytes: Count | None = None
    graph_crc32: Count | None = None


class Hnsw(DenseType):
    """Graphs."""

    name = "hnsw"
    summary = "a graph, in memory"
    spec = FaissSpec
    header = GraphHeader
    needs_vectors = True
    merges_vectors = True
    tuned = ("ef_search",)
    advice = "A larger dense.hnsw_m or dense.hnsw_ef_construction raises it."

    def choose(self, demand: Demand) -> FaissSpec:
        """As the settings say."""
        settings = demand.settings
        return FaissSpec(
            type="hnsw", dimension=demand.dimension, metric=demand.metric, hnsw_m=settings.hnsw_m,
            hnsw_ef_construction=settings.hnsw_ef_construction,
        )  # fmt: skip

    def notation(self, spec: FaissSpec) -> str:
        """As FAISS calls it."""
        return f"HNSW{spec.hnsw_m},SQfp16"

    def memory_bytes(self, spec: FaissSpec) -> float:
        """A graph holds the vectors in memory too."""
        return 2 * spec.dimension + self.stored_bytes(spec)

    def stored_bytes(self, spec: FaissSpec) -> float:
        """Level 0 of the graph has 2 M neighbours of 4 bytes."""
        return 8 * spec.hnsw_m + 16

    def grid(self, spec: FaissSpec, k: int) -> list[SearchParameters]:
        """Widths of the search."""
        return [SearchParameters(ef_search=ef, shortlist=k, depth=k) for ef in WIDTHS if ef >= k]

    def add(
        self, trained: None, spec: FaissSpec, vectors: ShardVectors, first_row: int, folder: Path
    ) -> dict[str, Any]:
        """A piece is its count alone: the graph is built when pieces are merged."""
        return {}

    def read(self, folder: Path, header: GraphHeader, spec: FaissSpec) -> FileEntry | None:
        """The file of the graph, as the header says."""
        if header.graph_bytes is None or header.graph_crc32 is None:
            return None
        return FileEntry(bytes=header.graph_bytes, crc32=header.graph_crc32)

    def merge(self, trained: None, spec: FaissSpec, work: MergeWork) -> dict[str, Any]:
        """Build the graph. Graphs are the same from run to run with one thread only.

        Raises ConfigError above dense.hnsw_max_vectors.
        """
        vectors, most = work.vectors, work.settings.hnsw_max_vectors
        if vectors is None or len(vectors) != work.total:
            raise ConfigError(f"A graph over {work.total} vectors is built from them; they were not given.")
        if len(vectors) > most:
            needed = len(vectors) * self.memory_bytes(spec) / 1e9
            raise ConfigError(
                f"dense.type hnsw: a graph over {len(vectors):,} vectors is built in memory "
                f"({needed:.1f} GB), and dense.hnsw_max_vectors is {most:,}.",
                hint="Set dense.type to ivf_pq, lower index.shard_passages, or raise dense.hnsw_max_vectors.",
            )
        if not len(vectors):
            return {}
        faiss.omp_set_num_threads(work.threads)
        index = faiss.IndexHNSWSQ(
            spec.dimension, faiss.ScalarQuantizer.QT_fp16, spec.hnsw_m, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = spec.hnsw_ef_construction
        index.train(np.zeros((1, spec.dimension), np.float32))  # float16 has nothing to learn
        for _, block in vectors.blocks():
            index.add(torch.from_numpy(block).float().numpy())
        path = work.out / GRAPH
        faiss.write_index(index, os.fspath(path), faiss.IO_FLAG_SKIP_STORAGE)
        return {"graph_bytes": path.stat().st_size, "graph_crc32": crc32_of(path)}

    def open(
        self, stored: StoredShard, spec: FaissSpec, trained: None, vectors: ShardVectors | None, *, pack: bool
    ) -> Candidates | None:
        """The graph over the vectors, which are copied into memory: a graph reads them at random."""
        if vectors is None or not stored.vectors:
            return None
        path = stored.folder / GRAPH
        if stored.contents is None:
            raise IndexDamaged(f"{stored.folder} does not name its graph.", hint=DAMAGE_HINT)
        check_file(path, stored.contents.bytes, stored.contents.crc32)
        check_graph(path, spec, len(vectors))
        graph = read_faiss(faiss.read_index, path)
        storage = faiss.IndexScalarQuantizer(
            spec.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        for first, block in vectors.blocks():
            if not np.isfinite(block).all():
                raise IndexDamaged(
                    f"{stored.folder}: vectors from row {first} on are not finite.", hint=DAMAGE_HINT
                )
            storage.add_sa_codes(np.ascontiguousarray(block).view(np.uint8))
        graph.storage = storage
        graph.own_fields = False
        return _Graph(graph, storage, stored.vectors)


class _Graph:
    """An open graph."""

    def __init__(self, graph: Any, storage: Any, rows: int) -> None:
        self._graph = graph
        self._storage = storage  # which the graph points to
        self._rows = rows

    def search(
        self, queries: np.ndarray, width: int, parameters: SearchParameters, assigned: Any,
        selection: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        selector, _bits = row_selector(selection, self._rows)
        options = faiss.SearchParametersHNSW(efSearch=max(parameters.ef_search, width), sel=selector)
        scores, rows = self._graph.search(queries, width, params=options)
        return scores, rows


TYPE = Hnsw()
