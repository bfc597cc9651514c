"""The build, from top to bottom: plan, read, embed, shards, train, tune, verify, commit.

Every stage finds what is finished by its markers and does the rest, so the same call goes on wherever
an earlier one stopped. Nothing is visible to a searcher before the manifest is written, last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.config import BuildConfig
from pipelines.parts import SliceResult, cut_parts, finished_slices, parts_in_order
from pipelines.planning import Plan, make_plan, record_plan, widen_metadata
from pipelines.runtime import (
    Lease,
    Progress,
    check_folder,
    check_space,
    claim_index,
    connected,
    counted,
    holding_lease,
    passages_estimate,
    start_tracker,
    sweep_temporary,
)
from pipelines.sources import widened
from pipelines.sources.files import describe_left_out
from pipelines.stages import (
    BuildResults,
    announce,
    build_dense,
    build_lexical,
    build_passages,
    commit,
    embed_parts,
    find_duplicates,
    make_manifest,
    open_chunker,
    read_slices,
    store_tokens,
)
from pipelines.stages.fitting import (
    build_background,
    trained_quantizer,
    tune_search,
    with_fitted_weights,
)
from retrieval.errors import CorpusmillError, InputError
from retrieval.format import Manifest, committed_versions, latest_version, read_manifest
from retrieval.models import publish
from retrieval.storage import Store

MOST_TOLD = 20  # fields in a message


@dataclass(frozen=True)
class Built:
    """The version that answers for the configuration; `changed` says whether this run made it.

    `left_out`: files of the corpus folders that this run's listing left out, by reason.
    """

    manifest: Manifest
    changed: bool
    left_out: dict[str, int]


def build(config: BuildConfig, command: str, listener: Callable[[dict[str, Any]], None]) -> Built:
    """Build the index, or go on where an earlier build stopped.

    `command` is what a person types to go on, `listener` gets messages and progress snapshots. Raises
    a CorpusmillError of the kind that went wrong; what is finished stays.
    """
    store = Store(config.index.path, config.index.storage_options)
    check_folder(store)
    progress = Progress(store, command, listener)
    plan = make_plan(config, store, progress.say)
    if plan.finished and plan.previous is not None:
        return Built(plan.previous, changed=False, left_out=plan.listing.left_out)
    progress.say(_summary(plan))
    claim_index(store)
    with holding_lease(store, progress.say) as lease, connected(config.ray):
        _recover(store, lease)
        # Another builder may have finished between the look above and the lease.
        plan = make_plan(config, store, lambda _text: None, plan.listing)
        if plan.finished and plan.previous is not None:
            return Built(plan.previous, changed=False, left_out=plan.listing.left_out)
        progress.guard = lease.ensure
        progress.version = plan.previous.version if plan.previous else None
        progress.begin(plan.fingerprint, start_tracker())
        state = "failed"
        try:
            manifest = _stages(record_plan(plan), lease, progress)
            progress.version = manifest.version
            state = "done"
        except CorpusmillError as error:
            progress.error = error.message
            raise
        except (KeyboardInterrupt, SystemExit):
            state = "interrupted"
            raise
        finally:
            progress.end(state)
    return Built(manifest, changed=True, left_out=plan.listing.left_out)


def _stages(plan: Plan, lease: Lease, progress: Progress) -> Manifest:
    workers, store = plan.config.ray, plan.build.store
    copies = [file for model in plan.build.models for file in publish(model.settings, store, model.trust)]
    build = plan.build.with_model_files(tuple(dict.fromkeys(copies)))
    plan = replace(plan, build=build)

    for warning in open_chunker(build.passages, compare=False).warnings:
        progress.say(f"Warning: {warning}")

    known = finished_slices(build.passages)
    unread = [entry for entry in plan.slices if entry.key not in known]
    check_space(store, passages_estimate(unread, build.passages.corpus.plugins), "the passages")
    plan, results = _read(plan, known, progress)
    build = plan.build
    drops = find_duplicates(store, build.passages.corpus.duplicates, results, progress, workers)
    if drops:
        known = finished_slices(build.passages)
        results = read_slices(build.passages, plan.slices, drops, known, progress, workers)

    unembedded = [part for result in results for part in result.parts]
    vectors = embed_parts(build.vectors, unembedded, progress, workers)
    parts = parts_in_order(results, vectors)
    if not parts:
        raise InputError("the corpus holds no passage", hint="Check corpus.paths and corpus.fields.")
    shards = cut_parts(parts, build.shard_passages)
    passages = build_passages(build.passages, parts, shards, progress, workers)
    lexical = build_lexical(store, build.lexical, parts, shards, progress, workers)
    tokens = store_tokens(build.token_codes, parts, plan.previous, progress, workers)

    lease.check()
    background = build_background(build.vectors, parts, build.dense.seed, progress, workers)
    trained = trained_quantizer(
        store, build.dense, build.vectors.fingerprint, parts, plan.previous, progress, workers
    )
    progress.say(f"Dense index: {trained.reason}")
    dense = build_dense(store, build.piece_passages, parts, shards, trained, plan.previous, progress, workers)
    tuning = tune_search(
        store, build.vectors.model, parts, shards, dense, trained, plan.queries, progress, workers
    )
    if tuning.tuned.warning:
        progress.say(f"Warning: {tuning.tuned.warning}")

    work = BuildResults(
        plan, results, parts, shards, passages, lexical, tokens, background, trained, dense, tuning
    )
    manifest = with_fitted_weights(
        make_manifest(work, progress), plan.config.search, store, tuning, progress, workers,
        build.dense.plugins,
    )  # fmt: skip
    return commit(manifest, build, lease, progress, workers)


def _read(plan: Plan, known: dict[str, SliceResult], progress: Progress) -> tuple[Plan, list[SliceResult]]:
    """The slices read. Where values were none of the types that a sample showed, they are read again.

    That costs no second embedding: vectors are named by the texts.
    """
    while True:
        passages = plan.build.passages
        results = read_slices(passages, plan.slices, {}, known, progress, plan.config.ray)
        wider = widened(passages.metadata, (result.seen for result in results))
        if wider == passages.metadata or plan.config.corpus.metadata != "auto":
            return plan, results
        progress.say(_widening(passages.metadata, wider))
        plan = widen_metadata(plan, wider)
        known = finished_slices(plan.build.passages)


def _widening(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    changed = [name for name in after if after[name] != before.get(name)]
    told = [f"{name}: {before.get(name, 'not there')} -> {after[name]}" for name in changed[:MOST_TOLD]]
    more = f" and {len(changed) - MOST_TOLD:,} more" if len(changed) > MOST_TOLD else ""
    return (
        f"Metadata fields widened, by values that no sample had shown: {', '.join(told)}{more}. "
        "The corpus is read again. Declare corpus.metadata to fix the types."
    )


def _summary(plan: Plan) -> str:
    files, slices = counted(len(plan.listing.files), "file"), counted(len(plan.slices), "slice")
    text = f"{files} in {slices}"
    if plan.previous is not None:
        text += (
            f", {len(plan.change.added):,} new and {len(plan.change.retired):,} gone since they were planned"
        )
    if left_out := describe_left_out(plan.listing.left_out):
        text += f"; left out: {left_out}"
    return text + "."


def _recover(store: Store, lease: Lease) -> None:
    """Finish or sweep what a lost builder left: an unannounced version, temporary files."""
    newest = max(committed_versions(store), default=None)
    if newest is not None and newest != latest_version(store):
        read_manifest(store, newest)
        announce(store, newest, lease)
    sweep_temporary(store)
