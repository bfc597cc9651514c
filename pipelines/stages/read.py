"""Stage 2: read the slices of the corpus and cut their documents into passages."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from pipelines.chunking import Chunker
from pipelines.config import LocatedModel, PassageSpec, RaySettings
from pipelines.parts import (
    NOTES_SUFFIX,
    REJECTS_SUFFIX,
    PartWriter,
    RejectWriter,
    SliceResult,
    add_reasons,
    id_hash,
    note_kind,
    slice_name,
)
from pipelines.runtime import (
    FAILURE_EXAMPLES,
    Progress,
    Step,
    Task,
    Usage,
    run_stage,
    write_marker,
)
from pipelines.sources import Document, Note, Reject, Slice, carried
from pipelines.sources import read_slice as documents_of_slice
from pipelines.sources.files import describe_rejects
from retrieval.errors import BuildFailed, InputError, ModelError
from retrieval.models.encoders import Encoder, Tokenizer

BATCH_DOCUMENTS = 256
BATCH_CHARACTERS = 1_000_000
DUPLICATE = "duplicate id"
EARLY_DOCUMENTS = 10_000  # a build is not stopped early for fewer


def read_slices(
    spec: PassageSpec, slices: list[Slice], drops: dict[str, dict[str, int]], known: dict[str, SliceResult],
    progress: Progress, workers: RaySettings,
) -> list[SliceResult]:  # fmt: skip
    """Results of all slices in ledger order; only those without a marker are read.

    `drops` names, by slice key, the id hashes of documents to leave out; see `duplicates`. Raises
    InputError when more than the configured share of the documents was rejected.
    """
    names = {entry.key: slice_name(entry.key, drops.get(entry.key)) for entry in slices}
    results = {key: known[name] for key, name in names.items() if name in known}
    tasks = [
        Task(names[entry.key], {"slice": entry.to_dict(), "drop": drops.get(entry.key, {})})
        for entry in slices
        if entry.key not in results
    ]
    progress.counts.update(documents=0, rejected=0, passages=0)
    progress.reject_reasons = {}
    for done in results.values():
        _count(progress, done)
    guard = RejectGuard(spec.corpus.max_reject_share, len(slices), list(results.values()))
    with progress.stage("read", "slice", len(slices), len(results), rows_before=progress.counts["passages"]):
        for task in run_stage("read", tasks, [Step(read_slice, (spec,))], progress, workers):
            result = SliceResult.from_values(task.values)
            results[result.key] = result
            _count(progress, result)
            guard.add(result)
    ordered = [results[entry.key] for entry in slices]
    guard.check(ordered)
    return ordered


def read_slice(task: Task, spec: PassageSpec) -> Task:
    """Read one slice, write its parts, and last its marker."""
    key = f"{spec.folder}/{task.key}"
    store, keep = spec.store, FAILURE_EXAMPLES
    with (
        RejectWriter(store, f"{key}{REJECTS_SUFFIX}", keep=keep) as rejects,
        RejectWriter(store, f"{key}{NOTES_SUFFIX}", keep=keep, kind=note_kind) as notes,
    ):
        marker = _read_slice(task, spec, rejects, notes)
    written = write_marker(spec.store, key, marker)
    return Task(task.key, {**written, "rows": marker["passages"]})


def _read_slice(task: Task, spec: PassageSpec, rejects: RejectWriter, notes: RejectWriter) -> dict[str, Any]:
    entry = Slice.from_dict(task.values["slice"])
    drop: dict[str, int] = task.values["drop"]
    usage = Usage()
    writer = PartWriter(spec.store, spec.folder, task.key, spec.metadata, spec.part_passages)
    chunker = _chunker(spec)
    tally = Tally(drop)
    seen: dict[str, list[str]] = {}
    for batch in batches(documents_of_slice(entry, spec.corpus, spec.metadata, seen), rejects, notes, tally):
        spans = chunker.split([document.title for document in batch], [document.text for document in batch])
        for document, found in zip(batch, spans, strict=True):
            reason = _unusable(document, len(found), int(spec.corpus.max_document_bytes))
            if reason:
                rejects.add(Reject(document.source, document.position, document.doc_id, reason))
            elif tally.keeps(document):
                writer.add(document, found)
            else:
                reason = f"{DUPLICATE}, another one is kept"
                rejects.add(Reject(document.source, document.position, document.doc_id, reason))
    if tally.read != writer.documents + rejects.count:
        raise BuildFailed(
            f"{tally.read} records were read from slice {task.key}, but {writer.documents} documents and "
            f"{rejects.count} rejects were written"
        )
    ids = writer.finish()
    files = [*rejects.finish(), *notes.finish(), *([ids] if ids else [])]
    return {
        "key": entry.key,
        "name": task.key,
        "documents": writer.documents,
        "rejected": rejects.count,
        "read": tally.read,
        "duplicates": tally.duplicates,
        "passages": writer.passages,
        "characters": writer.characters,
        "parts": [asdict(part) for part in writer.parts],
        "files": [asdict(file) for file in files],
        "ids": asdict(ids) if ids else None,
        "reasons": rejects.reasons,
        "rejects": rejects.examples,
        "noted": notes.reasons,
        "notes": notes.examples,
        "seen": seen,
        "usage": usage.values(),
    }


def _unusable(document: Document, passages: int, most: int) -> str:
    """Why a document cannot be passages; empty if it can."""
    if not passages:
        return "no text"
    more = carried(document)
    if more * passages <= most:
        return ""
    return (
        f"title and metadata have {more} characters, which {passages} passages repeat: more than "
        f"max_document_bytes ({most})"
    )


class Tally:
    """Counts what is read, and decides which documents of a repeated id stay.

    `drop`: by hash of the id, which of the slice's documents with it stays, counted from 0; -1: none.
    """

    def __init__(self, drop: dict[str, int]) -> None:
        self.read = 0
        self.duplicates = 0
        self._drop = drop
        self._seen: dict[str, int] = {}

    def keeps(self, document: Document) -> bool:
        """Whether a document with passages stays; called once for each, in the slice's order."""
        name = id_hash(document.doc_id).hex() if self._drop else ""
        if name not in self._drop:
            return True
        self._seen[name] = self._seen.get(name, -1) + 1
        stays = self._seen[name] == self._drop[name]
        self.duplicates += not stays
        return stays


def batches(
    documents: Iterable[Document | Reject | Note], rejects: RejectWriter, notes: RejectWriter, tally: Tally
) -> Iterator[list[Document]]:
    """Documents in batches bounded in number and characters; rejects and notes are put aside and counted."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        if isinstance(document, Note):
            notes.add(document)
            continue
        tally.read += 1
        if isinstance(document, Reject):
            rejects.add(document)
            continue
        batch.append(document)
        characters += len(document.text) + carried(document)
        if len(batch) >= BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class RejectGuard:
    """Fails the build once too many documents were rejected; duplicates have a policy of their own."""

    def __init__(self, share: float, slices: int, done: list[SliceResult]) -> None:
        self._share = share
        self._slices = slices
        self._results = list(done)

    def add(self, result: SliceResult) -> None:
        """Stop early where half of the slices have ten times the rejects that the share allows.

        Slices differ, so a smaller excess is judged at the end.
        """
        self._results.append(result)
        rejected = sum(done.rejected - done.duplicates for done in self._results)
        documents = sum(done.documents + done.rejected for done in self._results)
        many = documents >= EARLY_DOCUMENTS and 2 * len(self._results) >= self._slices
        if many and rejected > 10 * self._share * documents:
            self.check(self._results)

    def check(self, results: list[SliceResult]) -> None:
        """Raise InputError, naming the first rejects, if the share is passed."""
        rejected = sum(done.rejected - done.duplicates for done in results)
        documents = sum(done.documents + done.rejected for done in results)
        if documents == 0:
            raise InputError("the corpus holds no document", hint="Check corpus.paths and corpus.format.")
        if rejected <= self._share * documents:
            return
        first = [line for done in results for line in done.rejects if DUPLICATE not in line][
            :FAILURE_EXAMPLES
        ]
        raise InputError(
            f"{rejected} of {documents} documents were rejected ({rejected / documents:.2%}), more than "
            f"corpus.max_reject_share = {self._share:.2%} allows: "
            f"{describe_rejects(add_reasons(done.reasons for done in results))}. The first ones:\n"
            + "\n".join(f"  {line}" for line in first),
            hint="Mend the input, or raise corpus.max_reject_share; then run the same command again.",
        )


def _count(progress: Progress, result: SliceResult) -> None:
    progress.counts["documents"] += result.documents
    progress.counts["rejected"] += result.rejected
    progress.counts["passages"] += result.passages
    progress.reject_reasons = add_reasons([progress.reject_reasons, result.reasons])


_chunkers: dict[str, Chunker] = {}  # a worker process reads many slices of one build


def _chunker(spec: PassageSpec) -> Chunker:
    key = spec.fingerprint
    if key not in _chunkers:
        _chunkers.clear()
        _chunkers[key] = open_chunker(spec)
    return _chunkers[key]


def open_chunker(spec: PassageSpec, *, compare: bool = True) -> Chunker:
    """The chunker that the configuration asks for; it loads a model only to compare sentences.

    compare: False opens it to be checked, without that model. Raises ConfigError.
    """
    settings, model = spec.chunk, spec.model
    if model is None:
        return Chunker.open(
            settings, tokenizer_file=None, max_tokens=None, special_tokens=0, prompt="", embed_sentences=None
        )
    tokenizer = Tokenizer.open(model.here(), trust=model.trust)
    embed = None
    if settings.chosen.compares_sentences:
        embed = _sentence_encoder(model) if compare else _no_sentences
    return Chunker.open(
        settings, tokenizer_file=str(tokenizer.tokenizer_file), max_tokens=tokenizer.max_tokens,
        special_tokens=tokenizer.special_tokens, prompt=tokenizer.prompt, embed_sentences=embed,
    )  # fmt: skip


def _sentence_encoder(model: LocatedModel) -> Callable[[list[str]], np.ndarray]:
    # Reading takes no GPU from those that embed.
    settings = model.here().model_copy(update={"device": "cpu"})
    encoder = Encoder.open(settings, sides={"passage"}, threads=1, trust=model.trust)
    return lambda texts: encoder.encode_passages([""] * len(texts), texts)


def _no_sentences(_texts: list[str]) -> np.ndarray:
    raise ModelError("this chunker was opened without the model that compares sentences")
