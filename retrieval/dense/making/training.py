"""Train a quantizer once, on a seeded sample across all parts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from retrieval.dense.gpu import gpu_count
from retrieval.dense.index_type import DenseType
from retrieval.dense.quantizer import write_quantizer_header
from retrieval.dense.registry import dense_type
from retrieval.format import DenseSpec


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
    spec: DenseSpec,
    sample: np.ndarray,
    seed: int,
    folder: Path,
    *,
    threads: int,
    kind: DenseType | None = None,
) -> TrainStats:
    """Train on sample (n, d), float32 or float16, and write what is trained into a folder.

    kind: of the spec; default: the type of this package. The same sample, seed, device and number of threads
    give the same files. Types that train nothing need no sample. Raises BuildFailed where the sample cannot
    train the spec.
    """
    faiss.omp_set_num_threads(threads)
    start = time.perf_counter()
    kind = kind or dense_type(spec.type)
    folder.mkdir(parents=True, exist_ok=True)
    if kind.trains:
        kind.train(spec, sample, seed, folder)
    name = write_quantizer_header(folder, kind, spec)
    gpus = gpu_count() if kind.uses_gpu else 0
    return TrainStats(time.perf_counter() - start, f"{gpus} GPU" if gpus else "cpu", len(sample), name)
