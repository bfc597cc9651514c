"""The fields that a filter can name, those of the metadata and those of the document, and their values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any, TypeAlias

import pyarrow as pa

from retrieval.filters.problem import MAX_VALUE_CHARACTERS, FilterProblem
from retrieval.format import BASE_SCHEMA, METADATA_PREFIX, arrow_type
from retrieval.text import comparable

Literal: TypeAlias = str | int | float | bool | date | datetime

DOCUMENT_PREFIX = "document."
DOCUMENT_FIELDS = {
    "doc_id": "string", "title": "string", "source": "string", "passage": "integer", "start": "integer",
    "end": "integer", "position": "integer",
}  # fmt: skip
_LISTED = 20  # field names in an error message
_EXPECTED = {
    "string": ('text, as in "text"', "Write it in quotes."),
    "integer": ("whole numbers", "Write a whole number of at most 64 bits, without quotes."),
    "float": ("numbers", "Write a number, without quotes."),
    "boolean": ("true or false", "Write true or false, without quotes."),
    "date": ("dates", 'Write a date as "2019-12-31".'),
    "datetime": (
        "dates with their time and its offset",
        'Write one as "2019-12-31T23:59:00+01:00", or "...Z" for UTC.',
    ),
}


@dataclass(frozen=True)
class Field:
    """A field of an index. `name` as filters name it, `column` of the passages, `kind` of its values.

    `kind` is string, integer, float, boolean, date or datetime: that of the elements of one that
    `is_list`.
    """

    name: str
    column: str
    kind: str
    is_list: bool

    @property
    def arrow_type(self) -> pa.DataType:
        """Type of the column."""
        if not self.column.startswith(METADATA_PREFIX):
            return BASE_SCHEMA.field(self.column).type
        return arrow_type(f"list[{self.kind}]" if self.is_list else self.kind)

    def literal(self, value: Any) -> Literal:
        """`value` as this field's elements are. Raises FilterProblem where it is of another type."""
        found = _CONVERT[self.kind](value)
        if found is not None:
            return found
        expected, hint = _EXPECTED[self.kind]
        what = f"lists of {expected}" if self.is_list else expected
        raise FilterProblem(f"the field {self.name} holds {what}, not {_shown(value)}", hint)


def find_field(name: str, schema: Mapping[str, str]) -> Field:
    """The field of this name. Raises FilterProblem, with the nearest names, where there is none.

    schema: types of the metadata fields, such as `integer` or `list[string]`.
    """
    metadata = _same_look(name if name in schema else name.removeprefix(METADATA_PREFIX), schema)
    if metadata in schema:
        kind = schema[metadata]
        is_list = kind.startswith("list[")
        return Field(metadata, METADATA_PREFIX + metadata, kind[5:-1] if is_list else kind, is_list)
    own = name.removeprefix(DOCUMENT_PREFIX)
    if own in DOCUMENT_FIELDS:
        # The metadata's field of that name would be meant without the prefix.
        shown = DOCUMENT_PREFIX + own if own in schema else own
        return Field(shown, own, DOCUMENT_FIELDS[own], False)
    if name == "text":
        raise FilterProblem(
            "the text of the passages cannot be filtered by",
            "Search for its words instead: lexical search finds them.",
        )
    raise _unknown(name, schema)


def _same_look(name: str, schema: Mapping[str, str]) -> str:
    """The metadata field of this name, or the only one that looks like it."""
    if name in schema or name.isascii():
        return name
    alike = [key for key in schema if comparable(key) == comparable(name)]
    return alike[0] if len(alike) == 1 else name


def _unknown(name: str, schema: Mapping[str, str]) -> FilterProblem:
    known = {**schema, **{key: kind for key, kind in DOCUMENT_FIELDS.items() if key not in schema}}
    lowered = {key.lower(): key for key in known}
    near = [lowered[key] for key in get_close_matches(name[:80].lower(), lowered, n=2, cutoff=0.6)]
    listed = [f"{key} ({kind})" for key, kind in list(known.items())[:_LISTED]]
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return FilterProblem(
        f"the index has no field {name[:80]!r}", f"{meant}Its fields: {', '.join(listed)}{more}."
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    # Shortened before it is written out: an integer may have thousands of digits.
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _string(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    if len(value) > MAX_VALUE_CHARACTERS:
        raise FilterProblem(f"a value has {len(value):,} characters, more than {MAX_VALUE_CHARACTERS:,}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FilterProblem(f"the value {value[:60]!r} holds a lone surrogate, which is no text") from error
    return comparable(value)


def _integer(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else None


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _date(value: Any) -> date | None:
    # `fromisoformat` alone also takes weeks and days without hyphens.
    if not isinstance(value, str) or len(value) != 10 or value[4] != "-" or value[7] != "-":
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _datetime(value: Any) -> datetime | None:
    # Weeks, days without hyphens and times without an offset are no instants.
    if not isinstance(value, str) or not 17 <= len(value) <= 40 or value[4] != "-" or value[7] != "-":
        return None
    try:
        found = datetime.fromisoformat(value)
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_CONVERT = {
    "string": _string, "integer": _integer, "float": _float, "boolean": _boolean, "date": _date,
    "datetime": _datetime,
}  # fmt: skip
