"""Train a quantizer once: a seeded sample across all parts, k-means, rotation, codebooks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from retrieval.dense.making.gpu import flat_index, gpu_count
from retrieval.dense.quantizer import Quantizer
from retrieval.errors import BuildFailed
from retrieval.format import DenseSpec

ITERATIONS = 10  # of k-means, FAISS's default for a coarse quantizer
PQ_VECTORS_PER_CODEWORD = 1024
OPQ_VECTORS = 65_536
OPQ_ITERATIONS = 20  # FAISS's default of 50 takes minutes on a CPU


@dataclass(frozen=True)
class TrainStats:
    """What training took: `seconds` of wall time on `device`, with `vectors` sampled."""

    seconds: float
    device: str
    vectors: int
    quantizer: str


def sample_rows(rows: Sequence[int], wanted: int, seed: int) -> list[np.ndarray]:
    """A uniform sample of `wanted` vectors without replacement from parts of these row counts.

    Returns for each part the sorted int64 rows to take from it. The same counts, number and seed
    give the same sample. Memory is in proportion to the sample, not to the corpus.
    """
    total = int(sum(rows))
    wanted = min(wanted, total)
    rng = np.random.default_rng(seed)
    if wanted > total // 2:
        left_out = _distinct(rng, total, total - wanted)
        chosen = np.delete(np.arange(total, dtype=np.int64), left_out)
    else:
        chosen = _distinct(rng, total, wanted)
    starts = np.cumsum([0, *rows], dtype=np.int64)
    cuts = np.searchsorted(chosen, starts)
    return [chosen[cuts[i] : cuts[i + 1]] - starts[i] for i in range(len(rows))]


def _distinct(rng: np.random.Generator, total: int, wanted: int) -> np.ndarray:
    """`wanted` distinct numbers below `total` (at least twice as many), sorted."""
    numbers = np.empty(0, np.int64)
    while len(numbers) < wanted:
        more = rng.integers(0, total, size=wanted + wanted // 8 + 16)
        numbers = np.unique(np.concatenate([numbers, more]))
    return np.sort(rng.choice(numbers, size=wanted, replace=False))


def train_quantizer(
    spec: DenseSpec, sample: np.ndarray, seed: int, folder: Path, *, threads: int
) -> TrainStats:
    """Train on sample (n, d), float32 or float16, and write the empty index into a folder.

    k-means and codebooks are trained on a GPU where FAISS sees one. The same sample, seed, device
    and number of threads give the same files. `flat` and `hnsw` need no sample and train nothing.
    Raises BuildFailed where the sample cannot train the spec.
    """
    faiss.omp_set_num_threads(threads)
    start = time.perf_counter()
    index, transform = None, None
    if spec.is_ivf:
        needed = max(spec.nlist, 2**spec.pq_bits if spec.pq_bits else 1)
        if sample.ndim != 2 or sample.shape[1] != spec.dimension or len(sample) < needed:
            raise BuildFailed(f"A sample of shape {sample.shape} cannot train {spec.factory}.")
        sample = np.ascontiguousarray(sample, np.float32)
        if spec.opq:
            transform = _rotation(spec, sample)
            sample = transform.apply(sample)
        index = _train_index(spec, sample, seed)
    quantizer = Quantizer(spec, index, transform)
    quantizer.write(folder)
    device = f"{gpu_count()} GPU" if gpu_count() and spec.is_ivf else "cpu"
    return TrainStats(time.perf_counter() - start, device, len(sample), quantizer.id)


def _rotation(spec: DenseSpec, sample: np.ndarray) -> "faiss.OPQMatrix":
    matrix = faiss.OPQMatrix(spec.dimension, spec.pq_m)
    codebooks = faiss.ProductQuantizer(spec.dimension, spec.pq_m, spec.pq_bits)
    matrix.pq = codebooks  # a bare pointer: `codebooks` must live as long as the training
    matrix.max_train_points = OPQ_VECTORS
    matrix.niter = OPQ_ITERATIONS
    matrix.train(sample)
    matrix.pq = None
    return matrix


def _train_index(spec: DenseSpec, sample: np.ndarray, seed: int) -> "faiss.IndexIVF":
    centroids = _centroids(spec, sample, seed)
    coarse = _coarse(spec)
    coarse.add(centroids)
    if spec.type == "ivf_flat":
        index = faiss.IndexIVFScalarQuantizer(
            coarse, spec.dimension, spec.nlist, faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT, False,
        )  # fmt: skip
    else:
        index = faiss.IndexIVFPQ(
            coarse, spec.dimension, spec.nlist, spec.pq_m, spec.pq_bits, faiss.METRIC_INNER_PRODUCT
        )
        index.pq.cp.seed = seed
        index.pq.cp.min_points_per_centroid = 1  # `choose` has warned already
        if spec.pq_bits == 4:
            index.pq.cp.max_points_per_centroid = PQ_VECTORS_PER_CODEWORD
        assigner = flat_index(spec.dimension // spec.pq_m, faiss.METRIC_L2) if gpu_count() else None
        index.pq.assign_index = assigner  # a bare pointer, as above
    index.train(sample)  # the coarse quantizer is full, so only the codebooks are trained
    if spec.type == "ivf_pq":
        index.pq.assign_index = None
    return index


def _centroids(spec: DenseSpec, sample: np.ndarray, seed: int) -> np.ndarray:
    """Spherical k-means, since lists are compared by inner product: float32 (nlist, d)."""
    settings = faiss.ClusteringParameters()
    settings.niter = ITERATIONS
    settings.seed = seed
    settings.spherical = True
    settings.min_points_per_centroid = 1
    clustering = faiss.Clustering(spec.dimension, spec.nlist, settings)
    clustering.train(sample, flat_index(spec.dimension, faiss.METRIC_INNER_PRODUCT))
    return faiss.vector_to_array(clustering.centroids).reshape(spec.nlist, spec.dimension)


def _coarse(spec: DenseSpec) -> "faiss.Index":
    if spec.coarse == "flat":
        return faiss.IndexFlatIP(spec.dimension)
    graph = faiss.IndexHNSWFlat(spec.dimension, spec.hnsw_m, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = spec.hnsw_ef_construction
    return graph
