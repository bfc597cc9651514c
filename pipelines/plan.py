"""Stage 1: what is to be built: the input's slices in ledger order, the schema, and what exists already."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines import ledger
from pipelines.config import BuildConfig, MetadataType
from pipelines.context import Context
from pipelines.sources.files import Listing, list_files
from pipelines.sources.metadata import infer_schema
from pipelines.sources.slices import Slice, cut
from retrieval.manifest import FORMAT, Manifest, latest_version, read_manifest, versions
from retrieval.models import model_card
from retrieval.settings import fingerprint
from retrieval.storage import Store, sha256_of


@dataclass(frozen=True)
class Plan:
    """What a build has to do. `change` is what the ledger does not know yet."""

    context: Context
    slices: list[Slice]
    change: ledger.Change
    old: ledger.Ledger
    listing: Listing
    previous: Manifest | None
    inferred: bool

    @property
    def fingerprint(self) -> str:
        """Names the version that this build makes: its slices in order and every setting that counts."""
        config, context = self.context.config, self.context
        dense = config.dense.fingerprint_values(leave_out={"query_file"})
        query_file = config.dense.query_file
        return fingerprint(
            FORMAT, context.parts_fingerprint, context.vectors_fingerprint, context.model_card,
            [entry.key for entry in self.slices], config.corpus.duplicates, config.index.shard_passages,
            config.model.fingerprint_values(leave_out={"device"}), dense,
            sha256_of(Path(query_file)) if query_file and Path(query_file).is_file() else query_file,
        )  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether the latest version is exactly this."""
        return not self.change and self.previous is not None and self.previous.fingerprint == self.fingerprint


def make_plan(config: BuildConfig, store: Store, say: Callable[[str], None]) -> Plan:
    """Look at the input, the ledger and the model; writes nothing."""
    listing = list_files(config.corpus)
    old = ledger.read(store)

    def cut_files(files: list[Any]) -> list[Slice]:
        return list(cut(files, int(config.corpus.slice_bytes), config.corpus.storage_options))

    change = ledger.compare(old, listing.files, config.corpus, cut_files)
    retired = set(change.retired)
    kept = [entry for entry in ledger.relocated(old, listing.files) if entry.key not in retired]
    slices = kept + change.added
    metadata, inferred = schema(config, old, slices, say)
    context = Context(config, store, metadata, model_card(config.model))
    previous = read_manifest(store) if latest_version(store) is not None else None
    return Plan(context, slices, change, old, listing, previous, inferred)


def schema(
    config: BuildConfig, old: ledger.Ledger, slices: list[Slice], say: Callable[[str], None]
) -> tuple[dict[str, MetadataType], bool]:
    """Metadata fields and types: as declared, as the ledger fixed them, or as a sample shows."""
    declared = config.corpus.metadata
    if declared == "none":
        return {}, False
    if declared != "auto":
        return dict(declared), False
    if old.metadata is not None:
        return dict(old.metadata), False
    found = infer_schema(slices, config.corpus)
    shown = ", ".join(f"{name}: {kind}" for name, kind in found.items()) or "none"
    say(f"Metadata fields taken from a sample: {shown}. Declare corpus.metadata to change them.")
    return dict(found), True


def record_plan(plan: Plan) -> Plan:
    """Append what changed to the ledger; only the holder of the lease does that."""
    if not plan.change:
        return plan
    corpus = plan.context.config.corpus
    metadata = plan.old.metadata
    if metadata is None and corpus.metadata == "auto":
        metadata = plan.context.metadata
    now = ledger.append(plan.context.store, plan.old, plan.change, corpus, metadata)
    return replace(
        plan, slices=ledger.relocated(now, plan.listing.files), change=ledger.Change([], []), old=now
    )


def next_version(store: Store) -> int:
    """Number of the version after all that exist."""
    return max(versions(store), default=0) + 1
