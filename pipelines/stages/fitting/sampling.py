"""Seeded samples of passage vectors: what a quantizer is trained on, and the background of a search."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray

from pipelines.config import RaySettings, VectorSpec
from pipelines.parts import Part
from pipelines.runtime import Progress, Usage, attempt_suffix, read_markers, result_of, write_marker
from retrieval.dense.making import sample_rows
from retrieval.format import ShardVectors, write_vectors
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord, Store

BACKGROUND_CODE = 1  # raised when the code changes what a background holds
BACKGROUND_ROWS = 2048  # a mean similarity of random passages is known to 1/45 of their spread
PARTS_A_TASK = 64


def sample_vectors(
    store: Store, parts: list[Part], wanted: int, seed: int, workers: RaySettings
) -> list["ray.ObjectRef[np.ndarray]"]:
    """Vectors (n, d) float16 of a uniform sample of passages, in blocks that tasks read; `wanted` in all."""
    chosen = sample_rows([part.rows for part in parts], wanted, seed)
    sample = ray.remote(num_cpus=1, max_retries=workers.task_retries)(_sample)
    blocks = []
    for first in range(0, len(parts), PARTS_A_TASK):
        group = range(first, min(first + PARTS_A_TASK, len(parts)))
        own = [(parts[number].plain(), chosen[number]) for number in group if len(chosen[number])]
        if own:
            blocks.append(sample.remote(store, parts[0].vectors.dimension, own))
    return blocks


def build_background(
    spec: VectorSpec, parts: list[Part], seed: int, progress: Progress, workers: RaySettings
) -> dict[str, Any]:
    """Vectors of random passages, by which a search tells what a similarity is worth; the marker's values."""
    store, contents = spec.store, [part.content for part in parts]
    name = fingerprint(BACKGROUND_CODE, BACKGROUND_ROWS, seed, spec.fingerprint, contents)
    markers = read_markers(store, "background")
    rows = min(BACKGROUND_ROWS, sum(part.rows for part in parts))
    with progress.stage("background", "file", 1, int(name in markers), rows_total=rows):
        if name not in markers:
            blocks = sample_vectors(store, parts, BACKGROUND_ROWS, seed, workers)
            write = ray.remote(num_cpus=1, max_retries=workers.task_retries)(_write_background)
            markers[name] = result_of("background", write.remote(store, f"background/{name}", *blocks))
            progress.finished(name, rows, markers[name]["usage"])
    return markers[name]


def _sample(store: Store, dimension: int, chosen: list[tuple[dict[str, Any], np.ndarray]]) -> np.ndarray:
    """Vectors (n, dimension) float16 of the chosen rows of some parts."""
    taken = []
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
        for part, rows in chosen:
            path = store.local(FileRecord(**part["vectors"]), Path(folder))
            taken.append(ShardVectors([path], [part["rows"]], dimension).take(rows))
            if not store.is_local:
                path.unlink()
    return np.concatenate(taken)


def _write_background(store: Store, key: str, *blocks: np.ndarray) -> dict[str, Any]:
    usage = Usage()
    vectors = np.concatenate(blocks)
    with store.writing(f"{key}-{attempt_suffix()}.npy") as write:
        write_vectors(write.path, vectors)
    values = {"files": [asdict(write.done)], "rows": len(vectors), "usage": usage.values()}
    return write_marker(store, key, values)
