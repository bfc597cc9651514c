"""Stages 5 and 6: passages of each shard, pieces of its dense index in parallel, and their merge."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from pipelines.config import MetadataType, PassageSpec, RaySettings
from pipelines.parts import Part, PartRange, cut_parts, passages_fingerprint, read_part, vectors_fingerprint
from pipelines.runtime import (
    Progress,
    Step,
    Task,
    Usage,
    attempt_suffix,
    check_space,
    has_gpus,
    read_markers,
    run_stage,
    write_marker,
)
from pipelines.stages.fitting import Trained
from retrieval.dense import Quantizer, gpu_count
from retrieval.dense.making import build_piece, merge_pieces
from retrieval.format import Manifest, ShardRecord, ShardVectors, part_schema, write_passages
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord, Store, is_written_by_us

PASSAGES = "passages"
PASSAGES_CODE = 1  # raised when the code changes what the passages of a shard hold
UNPACKED = 2.5  # Arrow against compressed Parquet; an estimate


def build_passages(
    spec: PassageSpec, parts: list[Part], shards: list[PartRange], progress: Progress, workers: RaySettings
) -> list[dict[str, Any]]:
    """One Arrow file of passages a shard; their markers' values."""
    folder = f"passages/{fingerprint(PASSAGES_CODE, spec.fingerprint)}"
    names = [passages_fingerprint(shard.of(parts)) for shard in shards]
    tasks = {
        name: Task(name, {"parts": [part.plain() for part in shard.of(parts)]})
        for name, shard in zip(names, shards, strict=True)
    }
    finished = read_markers(spec.store, folder)
    missing = [part for name in names if name not in finished for part in tasks[name].values["parts"]]
    size = sum(part["passages"]["bytes"] for part in missing)
    check_space(spec.store, UNPACKED * size, "the passages of the shards")
    steps = [Step(write_shard_passages, (spec.store, spec.metadata, folder))]
    markers = run_missing(spec.store, PASSAGES, "shard", folder, tasks, steps, progress, workers)
    return [markers[name] for name in names]


def write_shard_passages(task: Task, store: Store, metadata: dict[str, MetadataType], folder: str) -> Task:
    """Concatenate the shard's parts, one in memory at a time."""
    usage = Usage()
    schema = part_schema(metadata)

    def tables() -> Iterator[pa.Table]:
        for part in task.values["parts"]:
            yield read_part(store, part["passages"]["key"], rows=part["rows"])

    with store.writing(f"{folder}/{task.key}.arrow") as write:
        rows = write_passages(write.path, tables(), schema)
    values = {"files": [asdict(write.done)], "rows": rows, "usage": usage.values()}
    return Task(task.key, write_marker(store, f"{folder}/{task.key}", values))


def build_dense(
    store: Store, piece_passages: int, parts: list[Part], shards: list[PartRange],
    trained: Trained, previous: Manifest | None, progress: Progress, workers: RaySettings,
) -> list[dict[str, Any]]:  # fmt: skip
    """The dense index of every shard; their markers' values.

    A shard whose first parts are a whole shard of the previous version starts from that one, so that
    appended parts are added without touching what was there.
    """
    folder = f"dense/{trained.fingerprint}"
    # A quantizer that had to be trained again has another id, and lists made with the old one are useless.
    found = read_markers(store, folder)
    done = {name: values for name, values in found.items() if values["quantizer"] == trained.training["id"]}
    names = [vectors_fingerprint(shard.of(parts)) for shard in shards]
    pieces: dict[str, Task] = {}
    merges: dict[str, Task] = {}
    for name, shard in zip(names, shards, strict=True):
        if name not in done:
            start = _reusable(store, parts, shard, trained, previous)
            own = _piece_tasks(piece_passages, parts, shard, trained, start)
            pieces |= own
            values = {
                "pieces": list(own),
                "start": [asdict(file) for file in start.dense] if start else [],
                "parts": [part.plain() for part in shard.of(parts)],
            }
            merges[name] = Task(name, values)
    rows = sum(part["rows"] for task in merges.values() for part in task.values["parts"])
    # Pieces and the shards that they are merged into lie side by side for a while.
    check_space(store, 2.0 * trained.kind.stored_bytes(trained.spec) * rows, "the dense index")
    threads, gpus = _piece_resources(workers, trained, len(pieces))
    folder_of_pieces = f"{folder}/pieces-{trained.training['id']}"
    step = Step(write_piece, (store, trained, folder_of_pieces, threads), cpus=threads, gpus=gpus)
    built = run_missing(store, "pieces", "piece", folder_of_pieces, pieces, [step], progress, workers)
    for task in merges.values():
        task.values["pieces"] = [built[key] for key in task.values["pieces"]]
    with progress.stage("merge", "shard", len(shards), len(shards) - len(merges)):
        step = Step(merge_shard, (store, trained, folder))
        for result in run_stage("merge", list(merges.values()), [step], progress, workers):
            done[result.key] = result.values
    progress.guard()
    there = store.find(folder_of_pieces)
    store.delete([key for key in there if is_written_by_us(key)])
    return [done[name] for name in names]


def _piece_tasks(
    piece_passages: int, parts: list[Part], shard: PartRange, trained: Trained, start: ShardRecord | None
) -> dict[str, Task]:
    """Pieces of a shard by name, after the rows that it starts from."""
    name = vectors_fingerprint(shard.of(parts))
    first_row, skipped = (start.rows, len(start.content)) if start else (0, 0)
    return {
        f"{name}-{piece.base:012d}-{piece.rows}": Task(
            f"{name}-{piece.base:012d}-{piece.rows}",
            {"parts": [part.plain() for part in piece.of(parts)], "first_row": piece.base},
        )
        for piece in _pieces(piece_passages, parts, shard, trained, first_row, skipped)
    }


def _piece_resources(workers: RaySettings, trained: Trained, pieces: int) -> tuple[int, int]:
    """Threads (and logical CPUs) and GPUs of a piece's task: a node's cores are shared by what it runs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = max((int(node.get("CPU", 0)) for node in nodes), default=1)
    if trained.kind.uses_gpu and has_gpus(workers):
        on_a_node = max((int(node.get("GPU", 0)) for node in nodes), default=1)
        return max(1, cores // max(1, on_a_node)), 1
    total = sum(int(node.get("CPU", 0)) for node in nodes)
    return max(1, min(cores, total // max(1, pieces))), 0


def write_piece(task: Task, store: Store, trained: Trained, folder: str, threads: int) -> Task:
    """Add a piece's vectors to a copy of the trained, empty index."""
    usage = Usage()
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        quantizer = _quantizer(store, trained, Path(temporary))
        vectors = _vectors(store, task.values["parts"], trained.spec.dimension, Path(temporary))
        with store.writing_folder(f"{folder}/{task.key}-{attempt_suffix()}") as out:
            stats = build_piece(quantizer, vectors, task.values["first_row"], out.path, threads=threads)
    values = {
        "files": [asdict(record) for record in out.records],
        "rows": stats.vectors,
        "usage": usage.values(gpu_seconds=stats.seconds if trained.kind.uses_gpu and gpu_count() else 0.0),
    }
    return Task(task.key, write_marker(store, f"{folder}/{task.key}", values))


def merge_shard(task: Task, store: Store, trained: Trained, folder: str) -> Task:
    """Merge the pieces of a shard."""
    usage = Usage()
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        quantizer = _quantizer(store, trained, Path(temporary))
        sources = [[FileRecord(**file) for file in piece["files"]] for piece in task.values["pieces"]]
        if task.values["start"]:
            sources.insert(0, [FileRecord(**file) for file in task.values["start"]])
        folders = [store.local_folder(files, Path(temporary)) for files in sources]
        vectors = None
        if trained.kind.merges_vectors:
            vectors = _vectors(store, task.values["parts"], trained.spec.dimension, Path(temporary))
        with store.writing_folder(f"{folder}/{task.key}-{attempt_suffix()}") as out:
            stats = merge_pieces(
                quantizer, folders, out.path, vectors=vectors,
                settings=trained.settings, threads=len(os.sched_getaffinity(0)),
            )  # fmt: skip
    earlier = [piece["usage"] for piece in task.values["pieces"]]
    values = {
        "files": [asdict(record) for record in out.records],
        "rows": stats.vectors,
        "usage": usage.values(),
        "pieces_usage": earlier,
        "quantizer": trained.training["id"],
    }
    return Task(task.key, write_marker(store, f"{folder}/{task.key}", values))


def _pieces(
    piece_passages: int, parts: list[Part], shard: PartRange, trained: Trained, first_row: int, skipped: int
) -> list[PartRange]:
    """Ranges of the shard's parts after `skipped` ones, with rows local to the shard."""
    most = piece_passages if trained.kind.merges else shard.rows
    own = shard.of(parts)
    local = cut_parts(own, most, skipped, first_row)
    return [
        PartRange(shard.first + piece.first, shard.first + piece.end, piece.base, piece.rows)
        for piece in local
    ]


def _reusable(
    store: Store, parts: list[Part], shard: PartRange, trained: Trained, previous: Manifest | None
) -> ShardRecord | None:
    """The previous version's whole shard whose parts are the first ones of this longer shard, if any."""
    if (
        previous is None
        or not trained.kind.merges
        or previous.quantizer_training["id"] != trained.training["id"]
    ):
        return None
    contents = [part.content for part in shard.of(parts)]
    there = store.find(f"dense/{trained.fingerprint}")
    fitting = [
        old
        for old in previous.shards
        if len(old.content) < len(contents)
        and old.content == contents[: len(old.content)]
        and all(there.get(file.key) == file.bytes for file in old.dense)
    ]
    return max(fitting, key=lambda old: old.rows, default=None)


def run_missing(
    store: Store, stage: str, unit: str, folder: str, tasks: dict[str, Task], steps: list[Step],
    progress: Progress, workers: RaySettings,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Markers of all tasks by name; only those without one are run."""
    markers = {name: values for name, values in read_markers(store, folder).items() if name in tasks}
    todo = [task for name, task in tasks.items() if name not in markers]
    with progress.stage(stage, unit, len(tasks), len(tasks) - len(todo)):
        for result in run_stage(stage, todo, steps, progress, workers):
            markers[result.key] = result.values
    return markers


def _quantizer(store: Store, trained: Trained, temporary: Path) -> Quantizer:
    return Quantizer.open(store.local_folder(trained.files, temporary), trained.spec, trained.kind)


def _vectors(store: Store, parts: list[dict[str, Any]], dimension: int, temporary: Path) -> ShardVectors:
    paths = [store.local(FileRecord(**part["vectors"]), temporary) for part in parts]
    return ShardVectors(paths, [part["rows"] for part in parts], dimension)
