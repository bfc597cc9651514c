"""Stage 1: what is to be built: the input's slices in ledger order, the schema, and what exists already."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pipelines.config import BuildConfig, MetadataType, ResolvedBuild
from pipelines.planning import ledger
from pipelines.planning.resolve import check_dense, passage_spec, resolve_build
from pipelines.planning.tuning_queries import read_queries
from pipelines.sources import Slice, cut_slices, infer_schema
from pipelines.sources.files import Listing, list_files
from retrieval.format import FORMAT, Manifest, committed_versions, latest_version, read_manifest
from retrieval.settings import fingerprint
from retrieval.storage import Store

MOST_SHOWN = 100  # fields in a message


@dataclass(frozen=True)
class Plan:
    """What a build has to do. `change` is what the ledger does not know yet."""

    config: BuildConfig
    build: ResolvedBuild
    slices: list[Slice]
    change: ledger.Change
    old: ledger.Ledger
    listing: Listing
    previous: Manifest | None
    queries: list[str] | None
    missing: int  # files that the previous version names and that are gone or truncated

    @property
    def fingerprint(self) -> str:
        """Names the version that this build makes: its slices in order and every setting that counts."""
        config, build = self.config, self.build
        sections = (config.lexical, config.late_interaction, config.cross_encoder, config.search)
        return fingerprint(
            FORMAT, build.passages.fingerprint, build.vectors.fingerprint, build.vectors.model.card,
            build.token_codes.model.card,
            [entry.key for entry in self.slices], config.corpus.duplicates, config.index.shard_passages,
            config.model.fingerprint_values("version"), config.dense.fingerprint_values("version"),
            self.queries, *(section.fingerprint_values("version") for section in sections),
        )  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether the latest version is exactly this, and whole as far as sizes tell."""
        same = self.previous is not None and self.previous.fingerprint == self.fingerprint
        return same and not self.change and not self.missing


def make_plan(
    config: BuildConfig, store: Store, say: Callable[[str], None], listing: Listing | None = None
) -> Plan:
    """Look at the input (or take its listing), the ledger and the model; writes nothing."""
    listing = listing or list_files(config.corpus)
    check_dense(config)
    old = ledger.read_ledger(store)

    def cut_files(files: list[Any]) -> list[Slice]:
        corpus = config.corpus
        return list(cut_slices(files, int(corpus.slice_bytes), corpus.storage_options, corpus.plugins))

    change = ledger.compare_ledger(old, listing.files, config.corpus, cut_files)
    slices = ledger.relocated(old, listing.files, set(change.retired)) + change.added
    resolved = resolve_build(config, store, schema(config, old, slices, say))
    dense = config.dense
    queries = read_queries(dense.query_file, dense.tune_queries) if dense.query_file else None
    previous = read_manifest(store) if latest_version(store) is not None else None
    missing = len(_missing(store, previous)) if previous else 0
    if missing:
        say(f"{missing} files of the latest version are missing or truncated: they are made again.")
    return Plan(config, resolved, slices, change, old, listing, previous, queries, missing)


def _missing(store: Store, manifest: Manifest) -> list[str]:
    there = store.find("")
    return [file.key for file in manifest.files() if there.get(file.key) != file.bytes]


def schema(
    config: BuildConfig, old: ledger.Ledger, slices: list[Slice], say: Callable[[str], None]
) -> dict[str, MetadataType]:
    """Metadata fields and types: as declared, as the ledger fixed them, or as a sample shows.

    What the ledger fixed holds while the field mapping is the same.
    """
    declared = config.corpus.metadata
    if declared == "none":
        return {}
    if declared != "auto":
        return dict(declared)
    if old.metadata is not None and old.mapping == ledger.mapping_values(config.corpus):
        return dict(old.metadata)
    found = infer_schema(slices, config.corpus, warn=lambda text: say(f"Warning: {text}"))
    shown = ", ".join(f"{name}: {kind}" for name, kind in islice(found.items(), MOST_SHOWN)) or "none"
    if len(found) > MOST_SHOWN:
        shown += f" and {len(found) - MOST_SHOWN:,} more"
    say(f"Metadata fields taken from a sample: {shown}. Declare corpus.metadata to change them.")
    return dict(found)


def record_plan(plan: Plan) -> Plan:
    """Append what changed to the ledger; only the holder of the lease does that."""
    corpus = plan.config.corpus
    inferred = corpus.metadata == "auto"
    metadata = plan.build.passages.metadata if inferred else plan.old.metadata
    if not plan.change and (not inferred or plan.old.mapping == ledger.mapping_values(corpus)):
        return plan
    now = ledger.append_segment(plan.build.store, plan.old, plan.change, corpus, metadata)
    return replace(
        plan, slices=ledger.relocated(now, plan.listing.files), change=ledger.Change([], []), old=now
    )


def widen_metadata(plan: Plan, metadata: dict[str, MetadataType]) -> Plan:
    """The plan with other metadata fields, which the ledger holds from now on; as `record_plan`."""
    build, corpus = plan.build, plan.config.corpus
    passages = passage_spec(plan.config, build.store, metadata, build.vectors.model)
    now = ledger.append_segment(build.store, plan.old, ledger.Change([], []), corpus, metadata)
    return replace(plan, build=replace(build, passages=passages), old=now)


def next_version(store: Store) -> int:
    """Number of the version after all that exist."""
    return max(committed_versions(store), default=0) + 1
