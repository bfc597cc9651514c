"""Stage 4: sample vectors across all parts and train the quantizer, once; or keep the one there is."""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psutil
import ray

from pipelines.config import RaySettings
from pipelines.parts import Part
from pipelines.runtime import (
    Progress,
    Usage,
    attempt_suffix,
    has_gpus,
    read_markers,
    result_of,
    write_marker,
)
from pipelines.stages.fitting.sampling import sample_vectors
from retrieval.dense import DenseSettings, DenseType, dense_type
from retrieval.dense.making import choose_dense, train_quantizer
from retrieval.format import DenseSpec, Manifest
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord, Store

DENSE_CODE = 1  # raised when the code changes what a quantizer, or a dense shard, holds


@dataclass(frozen=True)
class Trained:
    """A quantizer in storage. `fingerprint` also names the dense shards that are built with it."""

    settings: DenseSettings
    kind: DenseType
    spec: DenseSpec
    reason: str
    fingerprint: str
    files: list[FileRecord]
    training: dict[str, Any]
    usage: dict[str, Any]


def trained_quantizer(
    store: Store, settings: DenseSettings, vectors: str, parts: list[Part],
    previous: Manifest | None, progress: Progress, workers: RaySettings,
) -> Trained:  # fmt: skip
    """The quantizer of this build: the previous version's, a finished one, or a new one.

    vectors: fingerprint of the vectors that it is trained on.
    """
    rows = sum(part.rows for part in parts)
    budget = psutil.virtual_memory().total // 2
    spec, reason = choose_dense(
        settings, rows, parts[0].vectors.dimension, budget, metric=parts[0].vectors.metric
    )
    kind = dense_type(spec.type, settings.plugins)
    there = store.find("quantizer")
    kept = _keep(previous, settings, vectors, kind, spec, rows)
    if kept is not None and any(there.get(file.key) != file.bytes for file in kept.files):
        kept = None
    if kept is not None:
        return kept
    # Where there is nothing to train, nothing depends on the parts.
    contents = [part.content for part in parts] if kind.trains else []
    name = fingerprint(
        DENSE_CODE,
        spec.artefact_values(),
        spec.train_vectors,
        settings.seed,
        vectors,
        contents,
    )
    marker = read_markers(store, "quantizer").get(name)
    if marker is None:
        with progress.stage("train", "quantizer", 1, rows_total=spec.train_vectors):
            training = {
                "fingerprint": name,
                "settings": settings.fingerprint_values("quantizer"),
                "vectors_fingerprint": vectors,
                "rows": rows,
            }
            gpus = 1 if kind.trains and kind.uses_gpu and has_gpus(workers) else 0
            marker = _train_remotely(store, parts, kind, spec, settings.seed, training, gpus, workers)
            progress.finished(name, spec.train_vectors, marker["usage"])
    files = [FileRecord(**file) for file in [*marker["files"], marker["marker"]]]
    return Trained(settings, kind, spec, reason, name, files, marker["training"], marker["usage"])


def _keep(
    previous: Manifest | None,
    settings: DenseSettings,
    vectors: str,
    kind: DenseType,
    spec: DenseSpec,
    rows: int,
) -> Trained | None:
    """The previous version's quantizer, while the settings are the same and the index has not outgrown it."""
    if previous is None or previous.dense["type"] != kind.name:
        return None
    training = previous.quantizer_training
    old = kind.spec.model_validate(previous.dense)
    growth = rows / max(1, training["rows"])
    free = {"search", "train_vectors"} | ({"nlist"} if settings.nlist is None else set())
    same = (
        old.model_dump(exclude=free) == spec.model_dump(exclude=free)
        and training["settings"] == settings.fingerprint_values("quantizer")
        and training["vectors_fingerprint"] == vectors
        and 1 / settings.retrain_growth <= growth <= settings.retrain_growth
    )
    if not same:
        return None
    return Trained(
        settings, kind, old, previous.dense_reason, training["fingerprint"], previous.quantizer, training,
        {"cpu_seconds": 0.0, "gpu_seconds": 0.0, "peak_memory_bytes": 0},
    )  # fmt: skip


def _train_remotely(
    store: Store, parts: list[Part], kind: DenseType, spec: DenseSpec, seed: int, training: dict[str, Any],
    gpus: int, workers: RaySettings,
) -> dict[str, Any]:  # fmt: skip
    samples = sample_vectors(store, parts, spec.train_vectors, seed, workers) if kind.trains else []
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=workers.task_retries)(_train)
    return result_of("train", remote.remote(store, kind, spec, seed, training, *samples))


def _train(
    store: Store, kind: DenseType, spec: DenseSpec, seed: int, training: dict[str, Any],
    *samples: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    usage = Usage()
    sample = np.concatenate(samples) if samples else np.empty((0, spec.dimension), np.float16)
    threads = len(os.sched_getaffinity(0))
    key = f"quantizer/{training['fingerprint']}"
    with store.writing_folder(f"{key}-{attempt_suffix()}") as folder:
        stats = train_quantizer(spec, sample, seed, folder.path, threads=threads, kind=kind)
    marker = {
        "files": [asdict(record) for record in folder.records],
        "training": {
            **training, "seconds": round(stats.seconds, 3), "device": stats.device, "vectors": stats.vectors,
            "id": stats.quantizer,
        },
        "usage": usage.values(gpu_seconds=0.0 if stats.device == "cpu" else stats.seconds),
    }  # fmt: skip
    return write_marker(store, key, marker)
