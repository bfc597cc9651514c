"""Stage 7b: verify everything, then write the manifest, last and atomically."""

import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from typing import Any

from pipelines.lease import Lease
from pipelines.parts import Part, Range
from pipelines.plan import Plan, next_version
from pipelines.progress import Progress
from pipelines.quantize import Trained
from pipelines.slice_results import SliceResult
from pipelines.stage import Limits
from pipelines.tuning import Tuning
from pipelines.usage import total
from pipelines.verify import verify_on_workers
from retrieval.errors import IndexBusy
from retrieval.manifest import LATEST, Manifest, ShardRecord, StageCost, version_key
from retrieval.storage import FileRecord, Store


def commit(manifest: Manifest, store: Store, lease: Lease, progress: Progress, limits: Limits) -> Manifest:
    """Verify every artefact, then make the version exist. Before this it does not, after it it is whole."""
    verify_on_workers(store, manifest, progress, limits)
    manifest.costs.append(_cost(progress, "verify", [], len(manifest.files()), 0))
    lease.check()
    data = manifest.model_dump_json(indent=1).encode()
    if not store.create(version_key(manifest.version), data):
        raise IndexBusy(
            f"version {manifest.version} of {store.url} was committed by another builder",
            hint="Run the same command again: it goes on from there.",
        )
    point_to(store, manifest.version)
    return manifest


def point_to(store: Store, version: int) -> None:
    """Make a committed version the one that is opened."""
    store.put(LATEST, f"{version}\n".encode())


@dataclass(frozen=True)
class Work:
    """Everything that the stages made; `passages` and `dense` are the markers of the shards."""

    plan: Plan
    results: list[SliceResult]
    parts: list[Part]
    shards: list[Range]
    passages: list[dict[str, Any]]
    trained: Trained
    dense: list[dict[str, Any]]
    tuning: Tuning


def make_manifest(work: Work, progress: Progress) -> Manifest:
    """The manifest of the version, not yet written."""
    plan, parts, trained, tuning = work.plan, work.parts, work.trained, work.tuning
    context = plan.context
    spec = trained.spec.model_copy(update={"search": tuning.tuned.parameters})
    return Manifest(
        version=next_version(context.store),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        corpusmill=_own_version(),
        fingerprint=plan.fingerprint,
        config=public_config(plan),
        model={
            **context.model_card,
            "encoder": tuning.encoder,
            "settings": context.config.model.model_dump(mode="json"),
        },
        dense=spec.model_dump(mode="json"),
        dense_reason=trained.reason,
        metadata=context.metadata,
        documents=sum(result.documents for result in work.results),
        rejected=sum(result.rejected for result in work.results),
        passages=sum(part.rows for part in parts),
        truncated=sum(part.vectors.truncated for part in parts),
        slices=[result.record() for result in work.results],
        parts=[part.record() for part in parts],
        shards=[
            _shard(shard, parts, arrow, lists)
            for shard, arrow, lists in zip(work.shards, work.passages, work.dense, strict=True)
        ],
        quantizer=trained.files,
        quantizer_training=trained.training,
        model_files=list(context.model_files),
        recall={
            "queries": tuning.queries,
            "k": context.config.dense.recall_k,
            "target": context.config.dense.recall_target,
            "chosen": tuning.tuned.parameters.model_dump(),
            "table": tuning.tuned.table,
        },
        costs=_costs(work, progress),
        warnings=[tuning.tuned.warning] if tuning.tuned.warning else [],
    )


def public_config(plan: Plan) -> dict[str, Any]:
    """The configuration without anything that may hold a secret."""
    values = plan.context.config.model_dump(mode="json")
    for section in ("corpus", "index"):
        values[section].pop("storage_options")
    values["corpus"]["paths"] = [without_credentials(path) for path in values["corpus"]["paths"]]
    values["index"]["path"] = without_credentials(values["index"]["path"])
    return values


def without_credentials(url: str) -> str:
    """A URL without the user and password that may stand in front of its host."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if separator else url


def _shard(shard: Range, parts: list[Part], arrow: dict[str, Any], lists: dict[str, Any]) -> ShardRecord:
    own = shard.of(parts)
    dense = [FileRecord(**file) for file in [*lists["files"], lists["marker"]]]
    return ShardRecord(
        name=lists["marker"]["key"].split("/")[-2],
        base=shard.base,
        rows=shard.rows,
        first_part=shard.first,
        end_part=shard.end,
        content=[part.content for part in own],
        passages=[FileRecord(**file) for file in [*arrow["files"], arrow["marker"]]],
        dense=dense,
    )


def _costs(work: Work, progress: Progress) -> list[StageCost]:
    """Cost of each stage as the markers tell it, so that interrupted runs are counted."""
    parts, trained = work.parts, work.trained
    documents = sum(result.documents + result.rejected for result in work.results)
    rows = sum(part.rows for part in parts)
    read_bytes = sum(file.bytes for result in work.results for file in result.files)
    read_bytes += sum(part.passages.bytes for part in parts)
    vector_bytes = sum(part.vectors.file.bytes for part in parts)
    pieces = [usage for marker in work.dense for usage in marker["pieces_usage"]]
    stages: list[tuple[str, list[dict[str, Any]], int, int]] = [
        ("read", [result.usage for result in work.results], documents, read_bytes),
        ("duplicates", [], documents, 0),
        ("embed", [part.vectors.usage for part in parts], rows, vector_bytes),
        ("passages", [marker["usage"] for marker in work.passages], rows, _bytes(work.passages)),
        ("train", [trained.usage], trained.spec.train_vectors, sum(file.bytes for file in trained.files)),
        ("pieces", pieces, rows, 0),
        ("merge", [marker["usage"] for marker in work.dense], rows, _bytes(work.dense)),
        ("tune", [], 0, 0),
    ]
    return [_cost(progress, *stage) for stage in stages]


def _bytes(markers: list[dict[str, Any]]) -> int:
    return sum(file["bytes"] for marker in markers for file in marker["files"])


def _cost(progress: Progress, stage: str, usages: list[dict[str, Any]], rows: int, written: int) -> StageCost:
    wall = progress.walls.get(stage, 0.0)
    usages = usages or progress.usages.get(stage, [])  # a stage without markers is done whole in one run
    return StageCost(
        stage=stage,
        wall_seconds=round(wall, 3),
        rows=rows,
        rows_per_second=round(rows / wall, 1) if wall > 0 else 0.0,
        bytes_written=written,
        **total(usages),
    )


def _own_version() -> str:
    try:
        return package_version("corpusmill")
    except PackageNotFoundError:
        return "source"
