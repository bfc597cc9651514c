"""Stage 7a: tune how far a search looks, against exact search, with queries that are not in the corpus."""

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ray

from pipelines.config import LocatedModel, RaySettings
from pipelines.parts import Part, PartRange, read_part
from pipelines.planning import draw_queries
from pipelines.runtime import GO_ON, Progress, Step, Task, Usage, has_gpus, result_of, run_stage
from pipelines.stages.fitting.quantizer import Trained
from retrieval.dense import DenseSettings, DenseShard, Quantizer
from retrieval.dense.making import (
    PointResult,
    ShardResult,
    Tuned,
    choose_parameters,
    evaluate_shard,
    merge_shard_results,
)
from retrieval.errors import BuildFailed
from retrieval.format import ShardVectors
from retrieval.models.encoders import Encoder
from retrieval.storage import FileRecord, Store

PARTS_SAMPLED = 50
SENTENCES = 200  # that tell how much each half of a search finds


@dataclass(frozen=True)
class Drawn:
    """Sentences of passages: `texts`, their vectors (n, d) float32 as queries, ids (n, 1) of the passages."""

    texts: list[str]
    vectors: np.ndarray
    passages: np.ndarray

    def first(self, most: int) -> "Drawn":
        """The first of them."""
        return Drawn(self.texts[:most], self.vectors[:most], self.passages[:most])

    def with_given(
        self, given: tuple[list[str], np.ndarray] | None
    ) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Texts and vectors with those of other queries behind them, and the passages."""
        texts, vectors = given or ([], self.vectors[:0])
        return [*self.texts, *texts], np.concatenate([self.vectors, vectors]), self.passages


@dataclass(frozen=True)
class Tuning:
    """Tuned parameters with the recall table, where the queries came from, and the encoder's description.

    `given`: texts and vectors (q, d) float32 of the user's queries, or None. `drawn`: sentences, whether they
    tuned the search or not.
    """

    tuned: Tuned
    queries: str
    encoder: dict[str, Any]
    given: tuple[list[str], np.ndarray] | None
    drawn: Drawn


def tune_search(
    store: Store, model: LocatedModel, parts: list[Part], shards: list[PartRange],
    dense: list[dict[str, Any]], trained: Trained, given: list[str] | None, progress: Progress,
    workers: RaySettings,
) -> Tuning:  # fmt: skip
    """Find the search parameters that meet the recall target at the least cost.

    given: the user's queries; None draws sentences from passages.
    """
    settings = trained.settings
    with progress.stage("tune", "shard", len(shards)):
        gpus = 1 if has_gpus(workers) else 0
        drawn, own, description, usage = _encode(store, model, settings, parts, given, gpus, workers)
        queries = drawn.vectors if own is None else own
        progress.usages.setdefault("tune", []).append(usage)
        points = trained.kind.grid(trained.spec, settings.recall_k)
        tasks = [
            Task(
                f"shard-{number:05d}",
                {"dense": marker["files"], "parts": [part.plain() for part in shard.of(parts)]},
            )
            for number, (shard, marker) in enumerate(zip(shards, dense, strict=True))
        ]
        step = Step(evaluate, (store, trained, queries))
        merged: ShardResult | None = None
        for task in run_stage("tune", tasks, [step], progress, workers):
            result = _unpack(task)
            merged = result if merged is None else merge_shard_results(merged, result, points)
    if merged is None:
        raise BuildFailed("there is no shard to tune", hint=GO_ON)
    tuned = choose_parameters([merged], points, trained.kind, settings)
    source = f"the {len(queries)} first queries of {settings.query_file}" if given else (
        f"{len(queries)} sentences drawn from passages, embedded as queries"
    )  # fmt: skip
    return Tuning(
        tuned, source, description, None if given is None else (given, queries), drawn.first(SENTENCES)
    )


def evaluate(task: Task, store: Store, trained: Trained, queries: np.ndarray) -> Task:
    """Search one shard, exactly and at every point of the grid."""
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        folder = Path(temporary)
        quantizer = Quantizer.open(store.local_folder(trained.files, folder), trained.spec, trained.kind)
        paths = [store.local(FileRecord(**part["vectors"]), folder) for part in task.values["parts"]]
        vectors = ShardVectors(paths, [part["rows"] for part in task.values["parts"]], trained.spec.dimension)
        files = [FileRecord(**file) for file in task.values["dense"]]
        shard = DenseShard.open(store.local_folder(files, folder), quantizer, vectors)
        result = evaluate_shard(
            shard,
            vectors,
            queries,
            trained.kind.grid(trained.spec, trained.settings.recall_k),
            trained.settings.recall_k,
        )
        shard.close()
    times = [[point.seconds, point.rescoring, point.assigning] for point in result.points]
    arrays = {f"codes-{number}": point.codes for number, point in enumerate(result.points)}
    arrays |= {f"exact-{number}": point.exact for number, point in enumerate(result.points)}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, exact=result.exact, **arrays)
    return Task(task.key, {"times": times}, {"arrays": file.getvalue()})


def _unpack(task: Task) -> ShardResult:
    with np.load(io.BytesIO(task.buffers["arrays"]), allow_pickle=False) as arrays:
        points = [
            PointResult(arrays[f"codes-{number}"], arrays[f"exact-{number}"], *times)
            for number, times in enumerate(task.values["times"])
        ]
        return ShardResult(arrays["exact"], points)


def _encode(
    store: Store, model: LocatedModel, settings: DenseSettings, parts: list[Part], given: list[str] | None,
    gpus: int, workers: RaySettings,
) -> tuple[Drawn, np.ndarray | None, dict[str, Any], dict[str, Any]]:  # fmt: skip
    """Drawn sentences, vectors (q, d) float32 of given queries, the encoder's description, a task's usage.

    The driver loads no model.
    """
    rng = np.random.default_rng(settings.seed)
    chosen = sorted(rng.choice(len(parts), min(PARTS_SAMPLED, len(parts)), replace=False).tolist())
    bases = np.cumsum([0, *(part.rows for part in parts)])
    sample = [(parts[number].plain(), int(bases[number])) for number in chosen]
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=workers.task_retries)(_embed_queries)
    device = "auto" if gpus else "cpu"
    return result_of("tune", remote.remote(store, model, settings, sample, given, device))


def _embed_queries(
    store: Store, model: LocatedModel, settings: DenseSettings, parts: list[tuple[dict[str, Any], int]],
    given: list[str] | None, device: Literal["auto", "cpu"],
) -> tuple[Drawn, np.ndarray | None, dict[str, Any], dict[str, Any]]:  # fmt: skip
    """parts: each with the id of its first passage."""
    usage = Usage()
    wanted = settings.tune_queries if given is None else SENTENCES
    rng = np.random.default_rng(settings.seed)
    texts: list[str] = []
    passages: list[int] = []
    share = -(-wanted // len(parts))
    for part, base in parts:
        table = read_part(store, part["passages"]["key"], ["title", "text"], part["rows"])
        found, rows = draw_queries(table["title"].to_pylist(), table["text"].to_pylist(), share, rng)
        texts += found
        passages += [base + row for row in rows]
    texts, passages = texts[:wanted], passages[:wanted]
    threads = len(os.sched_getaffinity(0))
    opened = model.here().model_copy(update={"device": device})
    encoder = Encoder.open(opened, sides={"query"}, threads=threads, trust=model.trust)
    drawn = Drawn(texts, encoder.encode_queries(texts), np.array(passages, np.int64)[:, None])
    own = None if given is None else encoder.encode_queries(given)
    return drawn, own, encoder.description, usage.values()
