"""The metadata schema of a corpus: declared, or taken from a sample of its records."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from pipelines.config import CorpusSettings, MetadataType
from pipelines.sources.documents import Reject
from pipelines.sources.read import records
from pipelines.sources.slices import Slice
from pipelines.sources.values import convert, kind_of
from retrieval.parts import arrow_type

__all__ = ["arrow_type", "convert", "infer_schema"]

_SAMPLE_SLICES = 8
_FORMATS = {"jsonl", "parquet", "csv", "tsv"}


def infer_schema(
    slices: Iterable[Slice], corpus: CorpusSettings, sample_documents: int = 1000
) -> dict[str, MetadataType]:
    """Metadata fields and their types: those declared, or with `auto` those that a sample shows.

    The sample is the first records of up to eight slices spread evenly over the corpus. Taken are fields
    beside all names in `corpus.fields` whose values are scalars or lists of them. Integers and floats
    together are floats, other mixtures strings; a field that is null throughout is left out. Names come in
    alphabetical order. Raises StorageError as reading does.
    """
    if isinstance(corpus.metadata, dict):
        return dict(corpus.metadata)
    if corpus.metadata == "none":
        return {}
    chosen = _spread([s for s in slices if s.format in _FORMATS], _SAMPLE_SLICES)
    fields: dict[str, _Kinds] = {}
    left_out = {*corpus.fields.id, *corpus.fields.title, *corpus.fields.text}
    for record, from_text in _sample(chosen, corpus, sample_documents):
        for name, value in record.items():
            if name not in left_out:
                fields.setdefault(name, _Kinds()).add(value, from_text)
    found = ((name, fields[name].type()) for name in sorted(fields))
    return {name: type for name, type in found if type is not None}


def _spread(slices: list[Slice], count: int) -> list[Slice]:
    if len(slices) <= count:
        return slices
    return [slices[i * (len(slices) - 1) // (count - 1)] for i in range(count)]


def _sample(slices: list[Slice], corpus: CorpusSettings, count: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """(record, whether its values are text that stands for other types)."""
    share = -(-count // max(1, len(slices)))
    for slice in slices:
        found = (r for r in records(slice, corpus, None) if not isinstance(r, Reject))
        for _, _, record in islice(found, share):
            yield record, slice.format in ("csv", "tsv")


class _Kinds:
    """What kinds of values a field has shown."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._lists = False

    def add(self, value: Any, from_text: bool) -> None:
        values = value if isinstance(value, list) else [value]
        self._lists |= isinstance(value, list)
        for item in values:
            kind = kind_of(item, from_text=from_text)
            if kind is not None:
                self._kinds.add(kind)

    def type(self) -> MetadataType | None:
        if not self._kinds or "" in self._kinds:
            return None
        if len(self._kinds) == 1:
            kind = next(iter(self._kinds))
        else:
            kind = "float" if self._kinds == {"integer", "float"} else "string"
        return f"list[{kind}]" if self._lists else kind  # type: ignore[return-value]
