"""Train the centroids of lists."""

import faiss
import numpy as np

from retrieval.dense.gpu import flat_index
from retrieval.format import FaissSpec

ITERATIONS = 10  # of k-means, FAISS's default for a coarse quantizer


def train_coarse(spec: FaissSpec, sample: np.ndarray, seed: int) -> "faiss.Index":
    """The coarse quantizer, full: from float32 (n, d)."""
    coarse = _coarse(spec)
    coarse.add(_centroids(spec, sample, seed))
    return coarse


def _centroids(spec: FaissSpec, sample: np.ndarray, seed: int) -> np.ndarray:
    """Spherical k-means, since lists are compared by inner product: float32 (nlist, d)."""
    settings = faiss.ClusteringParameters()
    settings.niter = ITERATIONS
    settings.seed = seed
    settings.spherical = True
    settings.min_points_per_centroid = 1
    clustering = faiss.Clustering(spec.dimension, spec.nlist, settings)
    clustering.train(sample, flat_index(spec.dimension, faiss.METRIC_INNER_PRODUCT))
    return faiss.vector_to_array(clustering.centroids).reshape(spec.nlist, spec.dimension)


def _coarse(spec: FaissSpec) -> "faiss.Index":
    if spec.coarse == "flat":
        return faiss.IndexFlatIP(spec.dimension)
    graph = faiss.IndexHNSWFlat(spec.dimension, spec.hnsw_m, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = spec.hnsw_ef_construction
    return graph
