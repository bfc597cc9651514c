"""FAISS's k-means and scores against small references, written anew from their definitions."""

import faiss
import numpy as np

from retrieval.format import ShardVectors, exact_search


def kmeans(points: np.ndarray, centroids: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
    """Lloyd's iterations from given centroids; an empty cluster takes a point of the largest one.

    The centroids (k, d), and the mean squared distance of the points to the nearest.
    """
    for _ in range(rounds):
        nearest = ((points[:, None] - centroids[None]) ** 2).sum(-1).argmin(1)
        for number in range(len(centroids)):
            own = points[nearest == number]
            if not len(own):
                largest = np.bincount(nearest, minlength=len(centroids)).argmax()
                place = np.flatnonzero(nearest == largest)[0]
                nearest[place] = number
                own = points[[place]]
            centroids[number] = own.mean(0)
    distances = ((points[:, None] - centroids[None]) ** 2).sum(-1).min(1)
    return centroids, float(distances.mean())


def test_k_means_of_faiss_finds_what_lloyd_finds() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 16)).astype(np.float32) * 4
    points = (centres[rng.integers(0, 8, 800)] + rng.normal(size=(800, 16))).astype(np.float32)
    start = points[:8].copy()
    wanted, error = kmeans(points.astype(np.float64), start.astype(np.float64), 20)
    found = faiss.Kmeans(16, 8, niter=20, seed=0, max_points_per_centroid=10_000)
    found.train(points, init_centroids=start)
    own = ((points[:, None] - found.centroids[None]) ** 2).sum(-1).min(1).mean()
    assert own <= error * 1.001
    gaps = ((wanted[:, None] - found.centroids[None]) ** 2).sum(-1)
    assert gaps.min(1).max() < 0.05  # each of Lloyd's centroids is one of FAISS's


def test_an_empty_cluster_is_filled_by_both() -> None:
    points = np.array([[0.0, 0], [0.1, 0], [0, 0.1], [9, 9]], np.float32)
    start = np.array([[0.0, 0], [50, 50], [9, 9]], np.float32)  # nobody is near the second
    centroids, _ = kmeans(points.astype(np.float64), start.astype(np.float64), 3)
    found = faiss.Kmeans(2, 3, niter=3, seed=0, min_points_per_centroid=1)
    found.train(points, init_centroids=start)
    for one in (centroids, found.centroids):
        nearest = ((points[:, None] - one[None]) ** 2).sum(-1).argmin(1)
        assert len(set(nearest.tolist())) == 3


def test_scores_are_cosines_of_the_vectors() -> None:
    rng = np.random.default_rng(1)
    raw, query = rng.normal(size=(50, 8)), rng.normal(size=(3, 8))
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    asked = query / np.linalg.norm(query, axis=1, keepdims=True)
    scores, rows = exact_search(asked.astype(np.float32), ShardVectors.from_array(unit.astype(np.float16)), 5)
    for place in range(3):
        cosines = [a @ query[place] / (np.linalg.norm(a) * np.linalg.norm(query[place])) for a in raw]
        best = np.argsort(cosines)[::-1][:5]
        assert rows[place].tolist() == best.tolist()
        np.testing.assert_allclose(scores[place], np.array(cosines)[best], atol=2e-3)
