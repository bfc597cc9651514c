"""The ledger: slices of the input in the order in which they were first seen.

It is a row of immutable segments, `ledger/000001.json` and on. A segment adds slices at the end and
retires those whose files changed or went. Files seen before keep their place; the first segment also
fixes the metadata schema that a sample showed, so that a later file cannot change it.
"""

import json
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from pipelines.config import CorpusSettings, MetadataType
from pipelines.sources import Slice
from pipelines.sources.files import InputFile
from retrieval.errors import IndexBusy, IndexDamaged
from retrieval.storage import MOST_COUNT, Shape, Store, read_json_as

FOLDER = "ledger"
MOST_BYTES = 1 << 30  # of a segment: millions of files
MOST_VALUES = 64_000_000


class _Segment(Shape):
    segment: Annotated[int, Field(ge=1, le=MOST_COUNT)]
    added: list[Slice]
    retired: list[str]
    metadata: dict[str, MetadataType] | None
    cutting: dict[str, Any]
    mapping: dict[str, Any]


@dataclass
class Ledger:
    """Active slices in order; `segments` counts the segments read, 0 for a new index."""

    slices: list[Slice] = field(default_factory=list)
    metadata: dict[str, MetadataType] | None = None
    cutting: dict[str, Any] = field(default_factory=dict)
    mapping: dict[str, Any] = field(default_factory=dict)
    segments: int = 0


@dataclass(frozen=True)
class Change:
    """What the next segment would say. Nothing is to be done if it is empty."""

    added: list[Slice]
    retired: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.retired)


def read_ledger(store: Store) -> Ledger:
    """The ledger as it stands. Raises IndexDamaged."""
    ledger = Ledger()
    for key in sorted(store.find(FOLDER)):
        data, name = store.read(key, MOST_BYTES), f"{store.url}/{key}"
        segment = read_json_as(_Segment, data, name, most_bytes=MOST_BYTES, most_values=MOST_VALUES)
        if segment.segment != ledger.segments + 1:
            raise IndexDamaged(f"{name} is not segment {ledger.segments + 1} of the ledger")
        retired = set(segment.retired)
        ledger.slices = [entry for entry in ledger.slices if entry.key not in retired]
        ledger.slices += segment.added
        ledger.metadata = segment.metadata
        ledger.cutting = segment.cutting
        ledger.mapping = segment.mapping
        ledger.segments += 1
    return ledger


def compare_ledger(
    ledger: Ledger,
    files: list[InputFile],
    corpus: CorpusSettings,
    cut: Callable[[list[InputFile]], list[Slice]],
) -> Change:
    """What changed since the ledger was written. A slice lives while all of its files do, unchanged."""
    if ledger.cutting != cutting_values(corpus):
        fresh = cut(files)
        kept = {entry.key for entry in fresh} & {entry.key for entry in ledger.slices}
        return Change(
            [entry for entry in fresh if entry.key not in kept],
            [entry.key for entry in ledger.slices if entry.key not in kept],
        )
    now = {(file.name, file.version, file.format) for file in files}
    retired, known = [], set()
    for entry in ledger.slices:
        identities = {(file.name, file.version, file.format) for file in entry.files}
        if identities <= now:
            known |= identities
        else:
            retired.append(entry.key)
    # A file cut into several slices is retired as a whole, since all of them name the same version.
    fresh_files = [file for file in files if (file.name, file.version, file.format) not in known]
    return Change(cut(fresh_files) if fresh_files else [], retired)


def relocated(ledger: Ledger, files: list[InputFile], retired: Set[str] = frozenset()) -> list[Slice]:
    """The active slices but `retired` ones, with the places that their files have now: a corpus may move."""
    current = {file.name: file for file in files}
    return [
        Slice(tuple(current.get(file.name, file) for file in entry.files), entry.start, entry.end)
        for entry in ledger.slices
        if entry.key not in retired
    ]


def append_segment(
    store: Store,
    ledger: Ledger,
    change: Change,
    corpus: CorpusSettings,
    metadata: dict[str, MetadataType] | None,
) -> Ledger:
    """Write the next segment, which only one builder can, and read the ledger again."""
    number = ledger.segments + 1
    segment = {
        "segment": number,
        "added": [_without_places(entry) for entry in change.added],
        "retired": change.retired,
        "metadata": metadata,
        "cutting": cutting_values(corpus),
        # Whose sample `metadata` shows; none where it was declared.
        "mapping": mapping_values(corpus) if corpus.metadata == "auto" else ledger.mapping,
    }
    data = json.dumps(segment, ensure_ascii=False).encode("utf-8", "surrogateescape")
    if not store.create(f"{FOLDER}/{number:06d}.json", data):
        raise IndexBusy(f"another builder wrote segment {number} of the ledger of {store.url}")
    return read_ledger(store)


def cutting_values(corpus: CorpusSettings) -> dict[str, Any]:
    """The settings that slices depend on."""
    return {"slice_bytes": int(corpus.slice_bytes), "format": corpus.format, **_format_options(corpus)}


def mapping_values(corpus: CorpusSettings) -> dict[str, Any]:
    """The settings that an inferred metadata schema depends on."""
    fields = corpus.fields.model_dump(mode="json")
    return {"fields": fields, "format": corpus.format, **_format_options(corpus)}


def _format_options(corpus: CorpusSettings) -> dict[str, Any]:
    return {"options": corpus.options} if corpus.options else {}


def _without_places(entry: Slice) -> dict[str, Any]:
    """A slice without the URLs of its files: they may move, and a URL may hold a secret."""
    values = entry.to_dict()
    return {**values, "files": [{**file, "url": ""} for file in values["files"]]}
