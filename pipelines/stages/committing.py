"""Stage 7b: verify everything, then write the manifest, last and atomically."""

import time
from typing import Any

from pipelines.config import RaySettings, ResolvedBuild, TokenCodeSpec, without_credentials
from pipelines.parts import add_reasons
from pipelines.planning import Plan, next_version
from pipelines.runtime import Lease, Progress, own_version
from pipelines.stages.build_results import BuildResults
from pipelines.stages.costs import cost, stage_costs
from pipelines.stages.fitting import Tuning
from pipelines.upkeep import verify_on_workers
from retrieval.dense import DenseSettings
from retrieval.errors import IndexBusy
from retrieval.format import LATEST, Manifest, ShardRecord, parse_latest, version_key
from retrieval.storage import FileRecord, Store


def commit(
    manifest: Manifest, build: ResolvedBuild, lease: Lease, progress: Progress, workers: RaySettings
) -> Manifest:
    """Verify every artefact, then make the version exist. Before this it does not, after it it is whole."""
    store = build.store
    verify_on_workers(store, manifest, build.dense.plugins, progress, workers)
    manifest.costs.extend(cost(progress, stage, [], 0) for stage in ("weigh", "verify"))
    lease.check()
    data = manifest.to_bytes()
    if not store.create(version_key(manifest.version), data):
        raise IndexBusy(
            f"version {manifest.version} of {store.url} was committed by another builder",
            hint="Run the same command again: it goes on from there.",
        )
    announce(store, manifest.version, lease)
    return manifest


def announce(store: Store, version: int, lease: Lease) -> None:
    """Make a committed version the one that is opened, unless a newer one is.

    LATEST is replaced only if it is still what it was before the lease was looked at, so that a builder that
    was stalled here changes nothing once another one has gone on. Raises IndexBusy where that has happened.
    """
    while True:
        known = store.read_or_none(LATEST)
        current = None if known is None else parse_latest(known)
        if current is not None and current >= version and store.exists(version_key(current)):
            return
        lease.check()
        if store.replace(LATEST, known, f"{version}\n".encode()):
            return


def make_manifest(work: BuildResults, progress: Progress) -> Manifest:
    """The manifest of the version, not yet written."""
    plan, parts, trained, tuning = work.plan, work.parts, work.trained, work.tuning
    config, build = plan.config, plan.build
    spec = trained.spec.model_copy(update={"search": tuning.tuned.parameters})
    return Manifest(
        version=next_version(build.store),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        corpusmill=own_version(),
        fingerprint=plan.fingerprint,
        config=public_config(plan),
        model={
            **build.vectors.model.card,
            "encoder": tuning.encoder,
            "settings": config.model.model_dump(mode="json"),
        },
        dense=spec.model_dump(mode="json"),
        dense_reason=trained.reason,
        metadata=build.passages.metadata,
        documents=sum(result.documents for result in work.results),
        rejected=sum(result.rejected for result in work.results),
        reject_reasons=add_reasons(result.reasons for result in work.results),
        notes=add_reasons(result.noted for result in work.results),
        left_out=plan.listing.left_out,
        passages=sum(part.rows for part in parts),
        truncated=sum(part.vectors.truncated for part in parts),
        slices=[result.record() for result in work.results],
        parts=[part.record(work.tokens.parts[part.content] if work.tokens else []) for part in parts],
        shards=[_shard(work, number) for number in range(len(work.shards))],
        quantizer=trained.files,
        quantizer_training=trained.training,
        background=[FileRecord(**file) for file in [*work.background["files"], work.background["marker"]]],
        background_rows=work.background["rows"],
        model_files=list(build.vectors.model.files),
        late_interaction=_late_interaction(build.token_codes, work),
        token_codec=work.tokens.codec if work.tokens else [],
        cross_encoder={
            "settings": config.cross_encoder.model_dump(mode="json"),
            **({"model": build.cross_encoder.card} if build.cross_encoder else {}),
        },
        search=config.search.model_dump(mode="json"),
        recall=_recall(build.dense, tuning),
        **(work.lexical.manifest_values(build.lexical) if work.lexical else {}),
        costs=stage_costs(work, progress),
        warnings=[tuning.tuned.warning] if tuning.tuned.warning else [],
    )


def public_config(plan: Plan) -> dict[str, Any]:
    """The configuration without anything that may hold a secret."""
    values = plan.config.model_dump(mode="json")
    for section in ("corpus", "index"):
        values[section].pop("storage_options")
    values["corpus"]["paths"] = [without_credentials(path) for path in values["corpus"]["paths"]]
    values["index"]["path"] = without_credentials(values["index"]["path"])
    return values


def _recall(settings: DenseSettings, tuning: Tuning) -> dict[str, Any]:
    return {
        "queries": tuning.queries,
        "k": settings.recall_k,
        "target": settings.recall_target,
        "chosen": tuning.tuned.parameters.model_dump(),
        "table": tuning.tuned.table,
    }


def _late_interaction(spec: TokenCodeSpec, work: BuildResults) -> dict[str, Any]:
    codec = {"codec": work.tokens.training} if work.tokens else {}
    return {"settings": spec.settings.model_dump(mode="json"), "model": spec.model.card, **codec}


def _shard(work: BuildResults, number: int) -> ShardRecord:
    shard, arrow, lists = work.shards[number], work.passages[number], work.dense[number]
    own = shard.of(work.parts)
    dense = [FileRecord(**file) for file in [*lists["files"], lists["marker"]]]
    return ShardRecord(
        name=lists["marker"]["key"].rpartition("/")[2].removesuffix(".json"),
        base=shard.base,
        rows=shard.rows,
        first_part=shard.first,
        end_part=shard.end,
        content=[part.content for part in own],
        passages=[FileRecord(**file) for file in [*arrow["files"], arrow["marker"]]],
        dense=dense,
        lexical=work.lexical.files(number) if work.lexical else [],
    )
