"""The metadata schema of a corpus: declared, or taken from a sample of its records."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from pipelines.config import (
    MOST_METADATA_FIELDS,
    MOST_NAME_CHARACTERS,
    CorpusSettings,
    MetadataType,
)
from pipelines.sources.documents import Note, Reject
from pipelines.sources.kinds import Kinds, flat, usable
from pipelines.sources.registry import format_named
from pipelines.sources.slice_reader import folder_values, records
from pipelines.sources.slices import Slice
from pipelines.sources.values import convert
from retrieval.format import arrow_type

__all__ = ["arrow_type", "convert", "infer_schema"]

_SAMPLE_SLICES = 8
_SAMPLE_VALUES = 1_000_000  # looked at in all slices together
_SHOWN = 20  # names in a message
_MOST_CANDIDATES = 50_000  # names remembered while the sample is read


def infer_schema(
    slices: Iterable[Slice],
    corpus: CorpusSettings,
    sample_documents: int = 1000,
    warn: Callable[[str], None] = lambda _: None,
) -> dict[str, MetadataType]:
    """Metadata fields and their types: those declared, or with `auto` those that a sample shows.

    The sample is the first records of up to eight slices spread evenly over the corpus. Taken are fields
    beside all names in `corpus.fields` whose values are scalars or lists of them, also inside objects, and
    those that the folders of files give; at most MOST_METADATA_FIELDS: those that most records have, of
    equals those seen first. Integers and floats together are floats, other mixtures strings; a field that is
    null throughout is left out. Names come in alphabetical order. `warn` is told what is left out for its
    name, its values or for their number. Raises StorageError as reading does.
    """
    if isinstance(corpus.metadata, dict):
        return dict(corpus.metadata)
    if corpus.metadata == "none":
        return {}
    slices = list(slices)
    having = [s for s in slices if format_named(s.format, corpus.plugins).has_fields]
    chosen = _spread(having, _SAMPLE_SLICES)
    fields = _Fields({*corpus.fields.id, *corpus.fields.title, *corpus.fields.text})
    for record, from_text in _sample(chosen, corpus, sample_documents):
        fields.add(record, from_text)
    for file in (file for entry in slices for file in entry.files if "=" in file.name):
        fields.add(folder_values(file.name), False)
    found = fields.most_frequent()
    if fields.refused:
        warn(
            f"Metadata fields left out: {fields.refused:,} whose names are empty, not printable, "
            f"longer than {MOST_NAME_CHARACTERS} characters, or the index of a table of pandas."
        )
    if lost := fields.without_values():
        shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN:,} more" if len(lost) > _SHOWN else "")
        warn(f"Metadata fields left out, whose values are lists of objects or of lists: {shown}.")
    if fields.dropped or len(found) > MOST_METADATA_FIELDS:
        count = fields.dropped + max(0, len(found) - MOST_METADATA_FIELDS)
        warn(
            f"Metadata fields left out: {count:,} that fewer records of a sample have than the others; there "
            f"are at most {MOST_METADATA_FIELDS}. Declare corpus.metadata to choose."
        )
    return dict(sorted(found[:MOST_METADATA_FIELDS]))


def _spread(slices: list[Slice], count: int) -> list[Slice]:
    if len(slices) <= count:
        return slices
    return [slices[i * (len(slices) - 1) // (count - 1)] for i in range(count)]


def _sample(slices: list[Slice], corpus: CorpusSettings, count: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """(record, whether its values are text that stands for other types)."""
    share = -(-count // max(1, len(slices)))
    most_values = _SAMPLE_VALUES // max(1, len(slices))
    for slice in slices:
        values = 0
        found = (r for r in records(slice, corpus, None) if not isinstance(r, (Reject, Note)))
        for _, _, record in islice(found, share):
            yield record, format_named(slice.format, corpus.plugins).only_text
            values += sum(len(v) if isinstance(v, list) else 1 for v in record.values())
            if values > most_values:
                break


class _Fields:
    """The fields of a sample, in bounded memory: where names become too many, rare ones are dropped."""

    def __init__(self, left_out: set[str]) -> None:
        self._left_out = left_out
        self._kinds: dict[str, Kinds] = {}
        self._refused: set[int] = set()  # hashes: a name may be long
        self.dropped = 0

    @property
    def refused(self) -> int:
        """Names that no field can have."""
        return len(self._refused)

    def add(self, record: dict[str, Any], from_text: bool) -> None:
        for name, value in flat(record):
            if name in self._left_out:
                continue
            if not usable(name):
                if len(self._refused) < _MOST_CANDIDATES:
                    self._refused.add(hash(name))
                continue
            self._kinds.setdefault(name, Kinds()).add(value, from_text)
            if len(self._kinds) > _MOST_CANDIDATES:
                self._drop()

    def most_frequent(self) -> list[tuple[str, MetadataType]]:
        """(name, type) of the fields that have one, those of most records first."""
        typed = ((name, kinds.type()) for name, kinds in self._by_records())
        return [(name, type) for name, type in typed if type is not None]

    def without_values(self) -> list[str]:
        """Names of fields that have values, but none that can be kept."""
        return sorted(name for name, kinds in self._kinds.items() if kinds.nested and not kinds.kinds)

    def _by_records(self) -> "list[tuple[str, Kinds]]":
        return sorted(self._kinds.items(), key=lambda item: -item[1].records)  # stable: equals as first seen

    def _drop(self) -> None:
        kept = {name for name, _ in self._by_records()[: _MOST_CANDIDATES // 2]}
        self.dropped += len(self._kinds) - len(kept)
        self._kinds = {name: kinds for name, kinds in self._kinds.items() if name in kept}
