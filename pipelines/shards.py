"""Stages 5 and 6: passages of each shard, pieces of its dense index in parallel, and their merge."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from pipelines.context import PASSAGES_CODE, Context
from pipelines.dense.merge import merge
from pipelines.dense.pieces import build_piece
from pipelines.markers import read_markers, write_marker
from pipelines.parts import Part, Range, cut, name_of_passages, name_of_vectors
from pipelines.progress import Progress
from pipelines.quantize import Trained
from pipelines.stage import Limits, Step, Task, run
from pipelines.usage import Usage
from retrieval.dense.quantizer import Quantizer
from retrieval.manifest import Manifest
from retrieval.parts import part_schema
from retrieval.passages import write_passages
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord
from retrieval.vectors import ShardVectors

PASSAGES = "passages"


def build_passages(
    context: Context, parts: list[Part], shards: list[Range], progress: Progress, limits: Limits
) -> list[dict[str, Any]]:
    """One Arrow file of passages a shard; their markers' values."""
    folder = f"passages/{fingerprint(PASSAGES_CODE, context.parts_fingerprint)}"
    names = [name_of_passages(shard.of(parts)) for shard in shards]
    tasks = {
        name: Task(name, {"parts": [part.plain() for part in shard.of(parts)]})
        for name, shard in zip(names, shards, strict=True)
    }
    steps = [Step(write_shard_passages, (context, folder))]
    markers = _missing(context, PASSAGES, folder, tasks, steps, progress, limits)
    return [markers[name] for name in names]


def write_shard_passages(task: Task, context: Context, folder: str) -> Task:
    """Concatenate the shard's parts, one in memory at a time."""
    usage = Usage()
    schema = part_schema(context.metadata)

    def tables() -> Iterator[pa.Table]:
        for part in task.values["parts"]:
            with context.store.fs.open(context.store.path(part["passages"]["key"]), "rb") as file:
                yield pq.read_table(file)

    with context.store.writing(f"{folder}/{task.key}.arrow") as write:
        rows = write_passages(write.path, tables(), schema)
    values = {"files": [asdict(write.done)], "rows": rows, "usage": usage.values()}
    return Task(task.key, write_marker(context.store, f"{folder}/{task.key}", values))


def build_dense(
    context: Context, parts: list[Part], shards: list[Range], trained: Trained, previous: Manifest | None,
    progress: Progress, limits: Limits,
) -> list[dict[str, Any]]:  # fmt: skip
    """The dense index of every shard; their markers' values.

    A shard whose first parts are a whole shard of the previous version starts from that one, so that
    appended parts are added without touching what was there.
    """
    folder = f"dense/{trained.fingerprint}"
    done = read_markers(context.store, folder, "/marker")
    names = [name_of_vectors(shard.of(parts)) for shard in shards]
    pieces: dict[str, Task] = {}
    merges: dict[str, Task] = {}
    for name, shard in zip(names, shards, strict=True):
        if name in done:
            continue
        start = _reusable(parts, shard, trained, previous)
        ranges = _pieces(
            context, parts, shard, trained, start.rows if start else 0, len(start.content) if start else 0
        )
        own = {f"{name}-{piece.base:012d}": piece for piece in ranges}
        for key, piece in own.items():
            pieces[key] = Task(
                key, {"parts": [part.plain() for part in piece.of(parts)], "first_row": piece.base}
            )
        merges[name] = Task(
            name,
            {
                "pieces": list(own),
                "start": [asdict(file) for file in start.dense] if start else [],
                "parts": [part.plain() for part in shard.of(parts)],
            },
        )
    threads = max(1, int(ray.cluster_resources().get("CPU", 1) / max(1, len(pieces))))
    gpus = 1 if trained.spec.is_ivf and ray.cluster_resources().get("GPU", 0) >= 1 else 0
    step = Step(write_piece, (context, trained, f"{folder}/pieces", threads), gpus=gpus)
    built = _missing(context, "pieces", f"{folder}/pieces", pieces, [step], progress, limits)
    for task in merges.values():
        task.values["pieces"] = [built[key] for key in task.values["pieces"]]
    with progress.stage("merge", len(shards), len(shards) - len(merges)):
        for result in run(
            "merge", list(merges.values()), [Step(merge_shard, (context, trained, folder))], progress, limits
        ):
            done[result.key] = result.values
    context.store.delete(list(context.store.find(f"{folder}/pieces")))
    return [done[name] for name in names]


def write_piece(task: Task, context: Context, trained: Trained, folder: str, threads: int) -> Task:
    """Add a piece's vectors to a copy of the trained, empty index."""
    usage = Usage()
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        quantizer = _quantizer(context, trained, Path(temporary))
        vectors = _vectors(context, task.values["parts"], trained.spec.dimension, Path(temporary))
        with context.store.writing_folder(f"{folder}/{task.key}") as out:
            stats = build_piece(quantizer, vectors, task.values["first_row"], out.path, threads=threads)
    values = {
        "files": [asdict(record) for record in out.records],
        "rows": stats.vectors,
        "usage": usage.values(),
    }
    return Task(task.key, write_marker(context.store, f"{folder}/{task.key}", values))


def merge_shard(task: Task, context: Context, trained: Trained, folder: str) -> Task:
    """Merge the pieces of a shard, list by list on disk."""
    usage = Usage()
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        quantizer = _quantizer(context, trained, Path(temporary))
        sources = [[FileRecord(**file) for file in piece["files"]] for piece in task.values["pieces"]]
        if task.values["start"]:
            sources.insert(0, [FileRecord(**file) for file in task.values["start"]])
        folders = [context.store.local_folder(files, Path(temporary)) for files in sources]
        vectors = None
        if trained.spec.type == "hnsw":
            vectors = _vectors(context, task.values["parts"], trained.spec.dimension, Path(temporary))
        with context.store.writing_folder(f"{folder}/{task.key}") as out:
            stats = merge(
                quantizer, folders, out.path, vectors=vectors,
                hnsw_max_vectors=context.config.dense.hnsw_max_vectors, threads=len(os.sched_getaffinity(0)),
            )  # fmt: skip
    earlier = [piece["usage"] for piece in task.values["pieces"]]
    values = {
        "files": [asdict(record) for record in out.records],
        "rows": stats.vectors,
        "usage": usage.values(),
        "pieces_usage": earlier,
    }
    return Task(task.key, write_marker(context.store, f"{folder}/{task.key}/marker", values))


def _pieces(
    context: Context, parts: list[Part], shard: Range, trained: Trained, first_row: int, skipped: int
) -> list[Range]:
    """Ranges of the shard's parts after `skipped` ones, with rows local to the shard."""
    most = context.config.index.piece_passages if trained.spec.is_ivf else shard.rows
    own = shard.of(parts)
    local = cut(own, most, skipped, first_row)
    return [
        Range(shard.first + piece.first, shard.first + piece.end, piece.base, piece.rows) for piece in local
    ]


def _reusable(parts: list[Part], shard: Range, trained: Trained, previous: Manifest | None) -> Any | None:
    """The previous version's shard whose parts are the first ones of this shard, if there is one."""
    if (
        previous is None
        or not trained.spec.is_ivf
        or previous.quantizer_training["fingerprint"] != trained.fingerprint
    ):
        return None
    contents = [part.content for part in shard.of(parts)]
    fitting = [old for old in previous.shards if old.content == contents[: len(old.content)]]
    return max(fitting, key=lambda old: old.rows, default=None)


def _missing(
    context: Context, stage: str, folder: str, tasks: dict[str, Task], steps: list[Step], progress: Progress,
    limits: Limits,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Markers of all tasks by name; only those without one are run."""
    markers = {name: values for name, values in read_markers(context.store, folder).items() if name in tasks}
    todo = [task for name, task in tasks.items() if name not in markers]
    with progress.stage(stage, len(tasks), len(tasks) - len(todo)):
        for result in run(stage, todo, steps, progress, limits):
            markers[result.key] = result.values
    return markers


def _quantizer(context: Context, trained: Trained, temporary: Path) -> Quantizer:
    return Quantizer.open(context.store.local_folder(trained.files, temporary), trained.spec)


def _vectors(context: Context, parts: list[dict[str, Any]], dimension: int, temporary: Path) -> ShardVectors:
    paths = [context.store.local(FileRecord(**part["vectors"]), temporary) for part in parts]
    return ShardVectors(paths, [part["rows"] for part in parts], dimension)
