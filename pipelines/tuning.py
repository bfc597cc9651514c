"""Stage 7a: tune how far a search looks, against exact search, with queries that are not in the corpus."""

import io
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import ray

from pipelines.chunking.boundaries import sentences
from pipelines.context import Context, worker_cache
from pipelines.dense.tune import ShardResult, Tuned, combine, evaluate_shard, grid
from pipelines.parts import Part, Range
from pipelines.progress import Progress
from pipelines.quantize import Trained
from pipelines.stage import Limits, Step, Task, run
from pipelines.usage import Usage
from retrieval.dense.quantizer import Quantizer
from retrieval.dense.shard import DenseShard
from retrieval.encoder import Encoder
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.storage import FileRecord
from retrieval.vectors import ShardVectors

SENTENCE_WORDS = (4, 40)  # a query is neither a heading nor a table
PARTS_SAMPLED = 50
MAX_QUERY_CHARACTERS = 2000


@dataclass(frozen=True)
class Tuning:
    """Tuned parameters with the recall table, where the queries came from, and the encoder's description."""

    tuned: Tuned
    queries: str
    encoder: dict[str, Any]


def tune(
    context: Context, parts: list[Part], shards: list[Range], dense: list[dict[str, Any]], trained: Trained,
    progress: Progress, limits: Limits,
) -> Tuning:  # fmt: skip
    """Find the search parameters that meet the recall target at the least cost."""
    settings = context.config.dense
    given = read_queries(settings.query_file, settings.tune_queries) if settings.query_file else None
    with progress.stage("tune", len(shards)):
        queries, description, usage = _encode(context, parts, given, limits)
        progress.usages.setdefault("tune", []).append(usage)
        points = grid(trained.spec, settings.recall_k)
        tasks = [
            Task(
                f"shard-{number:05d}",
                {"dense": marker["files"], "parts": [part.plain() for part in shard.of(parts)]},
            )
            for number, (shard, marker) in enumerate(zip(shards, dense, strict=True))
        ]
        step = Step(evaluate, (context, trained, queries))
        found = {task.key: _unpack(task) for task in run("tune", tasks, [step], progress, limits)}
    results = [found[task.key] for task in tasks]
    tuned = combine(results, points, trained.spec, settings)
    source = f"the {len(queries)} first queries of {settings.query_file}" if given else (
        f"{len(queries)} sentences drawn from passages, embedded as queries"
    )  # fmt: skip
    return Tuning(tuned, source, description)


def read_queries(path: str, most: int) -> list[str]:
    """Queries of a file: JSONL with `text`, or one a line. Raises ConfigError if it cannot be used."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for _, line in zip(range(most * 2), file, strict=False) if line.strip()]
        texts = [json.loads(line)["text"] if line.startswith("{") else line for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"dense.query_file {path} cannot be read: {error!r}",
            hint='Give JSONL with a "text" in every line, or one query a line, in UTF-8.',
        ) from error
    texts = [text[:MAX_QUERY_CHARACTERS] for text in texts if isinstance(text, str) and text.strip()][:most]
    if not texts:
        raise ConfigError(f"dense.query_file {path} holds no queries")
    return texts


def draw_queries(
    tables: list[tuple[list[str], list[str]]], wanted: int, rng: np.random.Generator
) -> list[str]:
    """Single sentences of random passages, from (titles, texts) of some parts; at most `wanted`."""
    places = [(number, row) for number, (_, texts) in enumerate(tables) for row in range(len(texts))]
    drawn = []
    for place in rng.permutation(len(places))[: wanted * 2]:
        number, row = places[place]
        titles, texts = tables[number]
        spans = sentences(texts[row])
        found = [texts[row][start:end].strip() for start, end in spans]
        fitting = [s for s in found if SENTENCE_WORDS[0] <= len(s.split()) <= SENTENCE_WORDS[1]]
        words = (fitting[int(rng.integers(len(fitting)))] if fitting else texts[row]).split()
        if len(spans) < 2 and not titles[row]:
            words = words[: max(1, len(words) // 2)]  # the whole passage would be a corpus vector
        drawn.append(" ".join(words[: SENTENCE_WORDS[1]])[:MAX_QUERY_CHARACTERS])
        if len(drawn) == wanted:
            break
    return drawn


def evaluate(task: Task, context: Context, trained: Trained, queries: np.ndarray) -> Task:
    """Search one shard, exactly and at every point of the grid."""
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        store, folder = context.store, Path(temporary)
        quantizer = Quantizer.open(store.local_folder(trained.files, folder), trained.spec)
        paths = [store.local(FileRecord(**part["vectors"]), folder) for part in task.values["parts"]]
        vectors = ShardVectors(paths, [part["rows"] for part in task.values["parts"]], trained.spec.dimension)
        files = [FileRecord(**file) for file in task.values["dense"]]
        shard = DenseShard.open(store.local_folder(files, folder), trained.spec, quantizer, vectors)
        result = evaluate_shard(
            shard,
            vectors,
            queries,
            grid(trained.spec, context.config.dense.recall_k),
            context.config.dense.recall_k,
        )
        shard.close()
    values = {"seconds": [seconds for _, seconds in result.points], "assigning": result.assigning}
    arrays = {f"scores-{number}": scores for number, (scores, _) in enumerate(result.points)}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, exact=result.exact, **arrays)
    return Task(task.key, values, {"arrays": file.getvalue()})


def _unpack(task: Task) -> ShardResult:
    with np.load(io.BytesIO(task.buffers["arrays"]), allow_pickle=False) as arrays:
        points = [
            (arrays[f"scores-{number}"], seconds) for number, seconds in enumerate(task.values["seconds"])
        ]
        return ShardResult(arrays["exact"], points, task.values["assigning"])


def _encode(
    context: Context, parts: list[Part], given: list[str] | None, limits: Limits
) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """Queries (q, d) float32, the encoder's description, and what a task used for them.

    The driver loads no model.
    """
    rng = np.random.default_rng(context.config.dense.seed)
    chosen = rng.choice(len(parts), min(PARTS_SAMPLED, len(parts)), replace=False)
    sample = [parts[number].plain() for number in sorted(chosen)]
    remote = ray.remote(num_cpus=1, max_retries=limits.retries)(_embed_queries)
    try:
        return ray.get(remote.remote(context, sample, given))
    except ray.exceptions.RayTaskError as error:
        cause = error.as_instanceof_cause()
        raise cause if isinstance(cause, CorpusmillError) else error from None


def _embed_queries(
    context: Context, parts: list[dict[str, Any]], given: list[str] | None
) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    usage = Usage()
    texts = given
    if texts is None:
        wanted = context.config.dense.tune_queries
        rng = np.random.default_rng(context.config.dense.seed)
        drawn: list[str] = []
        share = -(-wanted // len(parts))
        for part in parts:
            with context.store.fs.open(context.store.path(part["passages"]["key"]), "rb") as file:
                table = pq.read_table(file, columns=["title", "text"])
            drawn += draw_queries([(table["title"].to_pylist(), table["text"].to_pylist())], share, rng)
        texts = drawn[:wanted]
    threads = len(os.sched_getaffinity(0))
    encoder = Encoder.open(context.model(worker_cache()), sides={"query"}, threads=threads)
    return encoder.encode_queries(texts), encoder.description, usage.values()
