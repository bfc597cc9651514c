"""Build an HNSW graph over a shard's vectors, in memory; its file holds the graph without the vectors."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from retrieval.dense.dense_shard import GRAPH
from retrieval.errors import ConfigError
from retrieval.format import DenseSpec, ShardVectors, crc32_of


def build_graph(
    spec: DenseSpec, vectors: ShardVectors, folder: Path, *, max_vectors: int, threads: int
) -> dict[str, Any]:
    """Write the graph; return its size and checksum for the shard's header (nothing for no vectors).

    Graphs are the same from run to run with one thread only. Raises ConfigError above max_vectors.
    """
    if len(vectors) > max_vectors:
        needed = len(vectors) * spec.bytes_per_vector / 1e9
        raise ConfigError(
            f"dense.type hnsw: a graph over {len(vectors):,} vectors is built in memory ({needed:.1f} GB), "
            f"and dense.hnsw_max_vectors is {max_vectors:,}.",
            hint="Set dense.type to ivf_pq, lower index.shard_passages, or raise dense.hnsw_max_vectors.",
        )
    if not len(vectors):
        return {}
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWSQ(
        spec.dimension, faiss.ScalarQuantizer.QT_fp16, spec.hnsw_m, faiss.METRIC_INNER_PRODUCT
    )
    index.hnsw.efConstruction = spec.hnsw_ef_construction
    index.train(np.zeros((1, spec.dimension), np.float32))  # float16 has nothing to learn
    for _, block in vectors.blocks():
        index.add(torch.from_numpy(block).float().numpy())
    path = folder / GRAPH
    faiss.write_index(index, str(path), faiss.IO_FLAG_SKIP_STORAGE)
    return {"graph_bytes": path.stat().st_size, "graph_crc32": crc32_of(path)}
