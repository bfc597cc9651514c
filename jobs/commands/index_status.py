"""What `corpusmill status` tells: of a running or stopped build, and of the committed versions."""

import time
from typing import Any

from jobs.terminal import describe, duration, set_aside
from pipelines.runtime import counted, dead_here, lease_holder, read_progress
from retrieval.errors import CorpusmillError
from retrieval.format import Manifest, committed_versions, latest_version, read_manifest
from retrieval.storage import Store

STALE_SECONDS = 60.0


def status(store: Store) -> dict[str, Any]:
    """State of an index as plain values. Raises CorpusmillError where there is neither build nor index."""
    progress = read_progress(store)
    latest = latest_version(store)
    if progress is None and latest is None:
        raise CorpusmillError(
            f"{store.url} holds neither an index nor a build",
            hint=f"Start one: corpusmill build --corpus PATH --index {store.url}",
        )
    manifest = read_manifest(store, latest) if latest is not None else None
    state = _state(store, progress, manifest)
    values: dict[str, Any] = {
        "index": store.url,
        "state": state,
        "version": latest,
        "versions": committed_versions(store),
    }
    if progress is None or state == "done":
        return values | _of_manifest(manifest)
    names = (
        "stage", "documents", "rejected", "reject_reasons", "passages", "truncated", "tasks", "rows",
        "rows_total", "rows_per_second", "eta_seconds", "failures", "error", "resume",
    )  # fmt: skip
    values |= {name: progress.get(name) for name in names}
    if state in ("running", "lost"):
        values["builder"] = lease_holder(store)
    return values


def _of_manifest(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {"stage": "plan"}
    rejects = [
        file.key for entry in manifest.slices for file in entry.files if file.key.endswith(".rejects.jsonl")
    ]
    return {
        "stage": "done",
        "documents": manifest.documents,
        "rejected": manifest.rejected,
        "reject_reasons": manifest.reject_reasons,
        "left_out": manifest.left_out,
        "notes": manifest.notes,
        "passages": manifest.passages,
        "truncated": manifest.truncated,
        "parts": {"total": len(manifest.parts), "done": len(manifest.parts), "running": 0, "failed": 0},
        "shards": len(manifest.shards),
        "created": manifest.created,
        "model": manifest.model["passage"]["name"],
        "dense": manifest.dense_reason,
        "fusion": manifest.fusion,
        "search": manifest.recall["chosen"],
        "tuned": _tuned(manifest),
        "recall": _chosen_recall(manifest),
        "metadata": manifest.metadata,
        "rejects": rejects,
        "costs": [cost.model_dump() for cost in manifest.costs],
        "warnings": manifest.warnings,
    }


def _tuned(manifest: Manifest) -> list[str]:
    """The search parameters that the rows of the recall table tell apart."""
    table, chosen = manifest.recall["table"], manifest.recall["chosen"]
    return [name for name, value in chosen.items() if table and name in table[0] and isinstance(value, int)]


def _chosen_recall(manifest: Manifest) -> float | None:
    chosen = manifest.recall["chosen"]
    for row in manifest.recall["table"]:
        if all(chosen[name] == row[name] for name in chosen if name in row):
            return row["recall"]
    return None


def _state(store: Store, progress: dict[str, Any] | None, manifest: Manifest | None) -> str:
    """`running` only while the builder lives; `lost` if it vanished without a word."""
    if progress is None:
        return "done"
    if manifest is not None and manifest.fingerprint == progress.get("fingerprint"):
        return "done"  # it was committed, whatever became of its builder then
    if progress.get("state") != "running":
        return str(progress.get("state"))
    who = lease_holder(store)
    stale = time.time() - float(progress.get("updated", 0)) > STALE_SECONDS
    return "lost" if who is None or dead_here(who) or stale else "running"


def status_lines(values: dict[str, Any]) -> list[str]:
    """The same for people."""
    told = [f"{values['index']}: {values['state']}, version {values['version'] or 'none yet'}"]
    if values["state"] != "done":
        told.append(describe(values) if values.get("tasks") else f"stage: {values['stage']}")
    counts = [
        f"{values[name]:,} {name}"
        for name in ("documents", "rejected", "passages", "truncated")
        if name in values
    ]
    told.append(", ".join(counts))
    told += set_aside(*(values.get(name) or {} for name in ("reject_reasons", "left_out", "notes")))
    if values["state"] == "done":
        parts = counted(values["parts"]["total"], "part")
        told.append(f"{parts}, {counted(values['shards'], 'shard')}, model {values['model']}")
        told.append(f"dense index: {values['dense']}")
        if values["fusion"]:
            told.append(f"fusion: {values['fusion']['reason']}")
        if values["recall"] is not None:
            told.append(f"recall {values['recall']:.3f} against exact search{_looks(values)}")
        told += [f"warning: {warning}" for warning in values["warnings"]]
        told += [f"rejects: {values['index']}/{key}" for key in values["rejects"][:5]]
        told.append("cost by stage:")
        told += [
            f"  {cost['stage']:<11} {duration(cost['wall_seconds']):>7}  "
            f"{cost['rows_per_second']:>12,.1f} rows/s  "
            f"{cost['cpu_seconds']:>9,.1f} CPU s  {cost['peak_memory_bytes'] / 1e6:>7,.0f} MB"
            for cost in values["costs"]
        ]
    else:
        told += [f"error: {values['error']}"] if values.get("error") else []
        told += [f"failed: {key}: {reason}" for key, reason in (values.get("failures") or {}).items()]
        told.append(f"to go on: {values.get('resume')}")
    return told


def _looks(values: dict[str, Any]) -> str:
    """How far a search looks, of an index that is not scored exactly anyway."""
    names = [name for name in values["search"] if name in values["tuned"]]
    return " with " + ", ".join(f"{name} {values['search'][name]:,}" for name in names) if names else ""
