"""What reading gives, and how a record becomes a document: `Document`, `Reject`, `FieldMapper`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.config import CorpusSettings, MetadataType
from pipelines.sources.kinds import MOST_NAMES, Kinds, flat, usable, value_at
from pipelines.sources.values import PYTHON_TYPES, Mode, Unreadable, convert

MAX_ID_CHARACTERS = 2048
MAX_TITLE_CHARACTERS = 10_000  # it stands before every passage
MAX_VALUES = 8_000_000  # in one record, each some 100 bytes in memory: about 1 GB
_MAX_REASON_CHARACTERS = 240


@dataclass(frozen=True, slots=True)
class Document:
    """One usable record of the corpus; every string in it can be encoded as UTF-8.

    `position` is the row number from 0 (Parquet; CSV without its header), the byte offset of the line
    (JSONL, after decompression), or 0 for a file that is one document. `metadata` has every field of the
    schema, None where the record has no value.
    """

    doc_id: str
    title: str
    text: str
    metadata: dict[str, Any]
    source: str
    position: int


@dataclass(frozen=True, slots=True)
class Reject:
    """A record, or the unreadable rest of a file, that cannot be used; `position` as in `Document`.

    `reason` is one printable line of bounded length, whatever the input holds.
    """

    source: str
    position: int
    doc_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """What was guessed, replaced or left out of a record that is read; `position` as in `Document`.

    `reason` is like a reject's; up to its first colon it is counted as one kind with others.
    """

    source: str
    position: int
    reason: str


def carried(document: Document) -> int:
    """Characters that each passage of `document` carries beside its own text: title, names, metadata."""
    size = len(document.title) + len(document.doc_id) + len(document.source)
    for value in document.metadata.values():
        values = value if isinstance(value, list) else [value]
        size += sum(len(v) if isinstance(v, str) else 8 for v in values)
    return size


def printable(text: str, limit: int = _MAX_REASON_CHARACTERS) -> str:
    """`text` as one printable line of at most `limit` characters; other characters are escaped."""
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def reject(source: str, position: int, reason: str, doc_id: str | None = None) -> Reject:
    """A `Reject` whose strings are safe to print and to store."""
    return Reject(source, position, None if doc_id is None else printable(doc_id), printable(reason))


def note(source: str, position: int, reason: str) -> Note:
    """A `Note` whose reason is safe to print and to store."""
    return Note(source, position, printable(reason))


class _Unusable(ValueError):
    """A record that cannot become a document; the message is the reason."""


class FieldMapper:
    """Makes a document of a record, by the field names and metadata types of one corpus.

    In the mode `widen` no value costs a document: one that the schema has no place for is None, and `seen`
    has the kinds of such values by field. `notes`: on the record that was mapped last; the caller takes them.
    """

    def __init__(
        self, corpus: CorpusSettings, schema: Mapping[str, MetadataType], mode: Mode, from_text: bool = False
    ) -> None:
        self._id_names = corpus.fields.id
        self._title_names = corpus.fields.title
        self._text_names = corpus.fields.text
        self._converters = [
            (name, "." in name, PYTHON_TYPES.get(type), _converter(type, mode))
            for name, type in schema.items()
        ]
        self._from_text = from_text
        self._widen = mode == "widen"
        self._known = {*self.columns, ""}
        self.seen: dict[str, Kinds] = {}
        self._max_bytes = int(corpus.max_document_bytes)
        self.notes: list[str] = []

    @property
    def columns(self) -> set[str]:
        """Every field name that a document may be made of; of a field inside others, theirs too."""
        inner = [name for name, *_ in self._converters]
        names = {*self._id_names, *self._title_names, *self._text_names, *inner}
        return names | {name[:i] for name in names for i, letter in enumerate(name) if letter == "."}

    def __call__(self, source: str, position: int, record: Mapping[str, Any]) -> Document | Reject:
        """The document in `record`, or why there is none."""
        doc_id: str | None = None
        try:
            doc_id = _id_of(_first(record, self._id_names))
            text = _first(record, self._text_names)
            if type(text) is not str or not text or text.isspace() or 4 * len(text) > self._max_bytes:
                self._check_text(text, record)
            title = _title_of(_first(record, self._title_names))
            if "\0" in text or "\0" in title:
                text, title = text.replace("\0", "\ufffd"), title.replace("\0", "\ufffd")
                self.notes.append("NUL was replaced by U+FFFD")
            metadata = {}
            for name, inside, native, to_value in self._converters:
                value: Any = value_at(record, name) if inside else record.get(name)
                if value is not None and not (
                    value.__class__ is native and value == value and (native is not int or _fits(value))
                ):
                    value = self._value(name, value, to_value)
                metadata[name] = value
            if self._widen and not record.keys() <= self._known:
                self._look(record)
        except _Unusable as error:
            return reject(source, position, str(error), doc_id)
        return Document(doc_id or f"{source}#{position}", title, text, metadata, source, position)

    def _value(self, name: str, value: Any, to_value: Callable[[str, Any], Any]) -> Any:
        if value.__class__ is dict and self._widen:
            self._look({name: value})  # its fields are fields of their own
            return None
        try:
            return to_value(name, value)
        except _Unusable:
            if not self._widen:
                raise
        if not self._add(name, value):
            self.notes.append(f"metadata values that are no scalars were left out: {printable(name, 60)}")
        return None

    def _look(self, record: Mapping[str, Any]) -> None:
        """Remember fields that the schema has not."""
        for name, value in flat(record):
            if name in self._known:
                continue
            if not usable(name) or len(self.seen) >= MOST_NAMES:
                if len(self._known) < 2 * MOST_NAMES:
                    self._known.add(name)
            elif not self._add(name, value):
                self.notes.append(f"metadata values that are no scalars were left out: {printable(name, 60)}")
                if len(self._known) < 2 * MOST_NAMES:
                    self._known.add(name)  # said once

    def _add(self, name: str, value: Any) -> bool:
        """Remember the kinds of a value; whether all of it can be kept."""
        kinds = self.seen.setdefault(name, Kinds())
        kinds.nested = False
        kinds.add(value, self._from_text)
        if not kinds.kinds:
            del self.seen[name]
        return not kinds.nested

    def _check_text(self, text: Any, record: Mapping[str, Any]) -> None:
        if text is None and all(value_at(record, name, self) is self for name in self._text_names):
            raise _Unusable(no_text_field(self._text_names, list(record)))
        if not isinstance(text, str):
            raise _Unusable(f"the text is {_kind(text)}, not a string")
        if not text or text.isspace():
            raise _Unusable("the text is empty")
        if len(text.encode()) > self._max_bytes:
            raise _Unusable(f"the text is longer than max_document_bytes ({self._max_bytes})")


def _converter(type: MetadataType, mode: Mode) -> Callable[[str, Any], Any]:
    """A function of (field name, value) that gives the value as `type`."""

    def to_value(name: str, value: Any) -> Any:
        try:
            return convert(value, type, mode)
        except ValueError as error:
            raise _Unusable(f"metadata field {name}: {error}") from error

    return to_value


def no_text_field(wanted: Sequence[str], present: Sequence[str]) -> str:
    """Reason of a record without a text field, with the names that it has instead."""
    names = ", ".join(printable(name, 40) for name in present[:8]) or "nothing"
    return f"no text field ({', '.join(wanted)}); found: {names}; set corpus.fields.text"


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first value that is one: null, NaN and "" give way to the next name. None where there is none."""
    found = None
    for name in names:
        value = record.get(name)
        if value.__class__ is str and value:
            return value
        if value is None and ("." not in name or (value := value_at(record, name)) is None):
            continue
        if value != "" and value == value:
            return value
        found = value if found is None else found
    return found


def _fits(number: Any) -> bool:
    return -(2**63) <= number < 2**63


def _id_of(value: Any) -> str | None:
    if isinstance(value, str):
        if len(value) > MAX_ID_CHARACTERS:
            raise _Unusable(f"the id is longer than {MAX_ID_CHARACTERS} characters")
        return value or None
    if value is None or value != value:  # pandas writes a missing integer as NaN
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # and then the others as floats
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _Unusable(f"the id is {_kind(value)}, not a string or an integer")


def _title_of(value: Any) -> str:
    if isinstance(value, str):
        if len(value) > MAX_TITLE_CHARACTERS:
            raise _Unusable(f"the title is longer than {MAX_TITLE_CHARACTERS} characters")
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    raise _Unusable(f"the title is {_kind(value)}, not a string")


def _kind(value: Any) -> str:
    if isinstance(value, Unreadable):
        return value.reason
    names = {type(None): "null", dict: "an object", list: "a list", bool: "a boolean", int: "a number"}
    return names.get(type(value)) or ("a number" if isinstance(value, float) else f"a {type(value).__name__}")
