"""Stage 3: embed the parts. One file of float16 vectors for the titles and texts of each part.

Vectors are named by what the encoder sees, so parts that hold the same text share them, whatever else
changed. A part goes through three steps that overlap: read and tokenize (tasks), encode (actors that
keep the model for the whole stage), write (tasks).
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ray

from pipelines.config import LocatedModel, RaySettings, VectorSpec
from pipelines.parts import PartVectors, read_part
from pipelines.runtime import (
    Progress,
    Step,
    Task,
    attempt_suffix,
    check_space,
    read_markers,
    run_stage,
    write_marker,
)
from retrieval.errors import ModelError
from retrieval.format import write_vectors
from retrieval.models.encoders import Encoder, Tokenizer, Tokens
from retrieval.storage import FileRecord

VECTOR_BYTES = 2  # float16, a dimension


def embed_parts(
    spec: VectorSpec, parts: list[dict[str, Any]], progress: Progress, workers: RaySettings
) -> dict[str, PartVectors]:
    """Vectors of all parts by content; only content without a marker is embedded."""
    store, model = spec.store, spec.model
    markers = read_markers(store, spec.folder)
    wanted = {part["content"]: part for part in parts}
    vectors = {name: PartVectors.from_values(values) for name, values in markers.items() if name in wanted}
    tasks = [
        Task(content, {"passages": part["file"], "rows": part["rows"]})
        for content, part in wanted.items()
        if content not in vectors
    ]
    before = sum(done.rows for done in vectors.values())
    progress.counts["truncated"] = sum(done.truncated for done in vectors.values())
    pool = embed_actors(workers, len(tasks))
    steps = [
        Step(tokenize_part, (spec,)),
        Step(encoding, (model, pool.threads), actors=pool.actors, cpus=pool.cpus, gpus=pool.gpus),
        Step(write_part, (spec,)),
    ]
    total = sum(part["rows"] for part in wanted.values())
    check_space(store, VECTOR_BYTES * (total - before) * (spec.dimension or 0), "the vectors")
    with progress.stage("embed", "part", len(wanted), len(vectors), rows_total=total, rows_before=before):
        for task in run_stage("embed", tasks, steps, progress, workers):
            vectors[task.key] = PartVectors.from_values(task.values)
            progress.counts["truncated"] += vectors[task.key].truncated
    return vectors


def tokenize_part(task: Task, spec: VectorSpec) -> Task:
    """Read the part's titles and texts and tokenize them."""
    record = FileRecord(**task.values["passages"])
    table = read_part(spec.store, record.key, ["title", "text"], task.values["rows"])
    tokens = _tokenizer(spec).tokenize_passages(
        table.column("title").to_pylist(), table.column("text").to_pylist()
    )
    task.values["tokens"] = len(tokens.ids)
    task.values["truncated"] = int(tokens.truncated.sum())
    task.buffers = {
        "ids": tokens.ids.astype(np.int32).tobytes(),
        "offsets": tokens.offsets.astype(np.int64).tobytes(),
        "truncated": tokens.truncated.astype(np.uint8).tobytes(),
    }
    return task


def encoding(model: LocatedModel, threads: int | None) -> Callable[[Task], Task]:
    """Load the model, once in each actor; the function that encodes a part's tokens."""
    encoder = Encoder.open(
        model.here(), sides={"passage"}, threads=threads or len(os.sched_getaffinity(0)), trust=model.trust
    )  # fmt: skip

    def encode(task: Task) -> Task:
        began = time.monotonic()
        tokens = Tokens(
            np.frombuffer(task.buffers["ids"], np.int32),
            np.frombuffer(task.buffers["offsets"], np.int64),
            np.frombuffer(task.buffers["truncated"], np.uint8).astype(bool),
        )
        vectors = encoder.encode_tokens(tokens).astype(np.float16)
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"the model gave vectors that are not finite in float16, in part {task.key}",
                hint="Set model.normalize: true, or another model.dtype.",
            )
        task.values |= {"dimension": vectors.shape[1], "dtype": encoder.dtype, "device": encoder.device}
        task.values["metric"] = encoder.metric
        if encoder.device != "cpu":
            task.values["gpu_seconds"] = time.monotonic() - began
        task.buffers = {"vectors": vectors.tobytes()}
        return task

    return encode


def write_part(task: Task, spec: VectorSpec) -> Task:
    """Write the vectors, and last the marker."""
    vectors = np.frombuffer(task.buffers["vectors"], np.float16).reshape(task.values["rows"], -1)
    key = f"{spec.folder}/{task.key}"
    with spec.store.writing(f"{key}-{attempt_suffix()}.npy") as write:
        write_vectors(write.path, vectors)
    names = ("rows", "dimension", "metric", "dtype", "device", "tokens", "truncated", "usage")
    values = {"file": asdict(write.done), **{name: task.values[name] for name in names}}
    return Task(task.key, write_marker(spec.store, key, values))


@dataclass(frozen=True)
class ActorPool:
    """Actors of the embedding stage and what each takes; `threads` None: all cores of its node."""

    actors: int
    cpus: float
    gpus: float
    threads: int | None


def embed_actors(settings: RaySettings, parts: int) -> ActorPool:
    """One actor a GPU where the cluster has GPUs, else one a node with CPUs; never more than parts.

    One CPU at least stays free for the tasks around the actors, even once a node is lost: without it
    the stage would wait forever.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [node["CPU"] for node in nodes if node.get("CPU", 0) >= 1]
    all_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    gpus = settings.embed_gpus if settings.embed_gpus is not None else min(1.0, all_gpus)
    cpus = float(settings.embed_cpus)
    room = max(0.0, sum(sizes) - 1 - (max(sizes) if len(sizes) > 1 else 0))
    actors = int(all_gpus / gpus) if gpus else min(len(sizes), int(room / cpus))
    actors = max(1, min(settings.embed_workers or max(1, actors), parts))
    if actors * cpus > room and (gpus or room < 1):
        cpus = 0.0  # they are placed by their GPUs, or there is hardly a CPU
    elif actors * cpus > room and len(nodes) == 1:
        cpus = room / actors  # no other node will come to hold them
    return ActorPool(actors, cpus, gpus, settings.embed_threads)


_tokenizers: dict[str, Tokenizer] = {}  # a worker process tokenizes many parts of one build


def _tokenizer(spec: VectorSpec) -> Tokenizer:
    key, model = spec.fingerprint, spec.model
    if key not in _tokenizers:
        _tokenizers.clear()
        _tokenizers[key] = Tokenizer.open(model.here(), trust=model.trust)
    return _tokenizers[key]
