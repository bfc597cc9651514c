"""Metadata values: their declared types and the conversions between them that lose nothing."""

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pipelines.config import MetadataType

Mode = Literal["coerce", "reject", "widen"]

_INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,18})\Z")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+\Z")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})\Z"
)
_EXACT = 2**53  # beyond it a float does not hold every integer
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
# Values of these classes are of the type as they are, integers of 64 bits and floats but NaN.
PYTHON_TYPES: dict[str, type] = {"string": str, "boolean": bool, "integer": int, "float": float}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a record for a value that its reader could not decode."""

    reason: str


def list_item(type: MetadataType) -> str | None:
    """Item type of a list type, None for a scalar type."""
    return type[5:-1] if type.startswith("list[") else None


def convert(value: Any, type: MetadataType, mode: Mode) -> Any:
    """`value` as str, int (64 bits), float, bool, datetime.date, datetime.datetime in UTC, or a list of one.

    Null stays null, and NaN, which pandas writes for it, becomes null. `coerce` also converts what loses
    nothing: "2019" or 2019.0 to 2019, 1 to 1.0, "true" to True, a datetime at midnight to its date, any
    scalar to a string, a scalar to a list of one. A date, and a date-time with its offset from UTC, may be an
    ISO string in either mode, since JSON has neither. `widen` is for types that a sample showed: a value
    of another kind is none of the type, even if it could be converted. Raises ValueError with the reason.
    """
    if value is None or value != value:
        return None
    item = list_item(type)
    if item is None:
        return _convert_scalar(value, type, mode)
    if isinstance(value, list):
        return [None if v is None else _convert_scalar(v, item, mode) for v in value]
    if mode != "reject":
        return [_convert_scalar(value, item, mode)]
    raise _mismatch(value, type)


def _convert_scalar(value: Any, type: str, mode: Mode) -> Any:
    native = _NATIVE[type](value)
    if native is None and mode == "widen" and type != "string":
        is_text = isinstance(value, str)
        if (
            is_text
            and type == "integer"
            and _INTEGER.match(value)
            and (n := _integer(int(value))) is not None
        ):
            return n
        kind = kind_of(value, from_text=is_text)
        if kind is None or (kind != type and (type, kind) not in _WITHIN):
            raise _mismatch(value, type)
    if native is None and mode != "reject":
        native = _COERCE[type](value)
    if native is None:
        raise _mismatch(value, type)
    return native


def _mismatch(value: Any, type: str) -> ValueError:
    if isinstance(value, Unreadable):
        return ValueError(value.reason)
    shown = repr(value) if len(str(value)) <= 60 else repr(str(value)[:60]) + "..."
    return ValueError(f"{shown} is not {'a list' if type.startswith('list') else _ARTICLE[type]}")


_ARTICLE = {
    "string": "a string",
    "integer": "a 64-bit integer",
    "float": "a number",
    "boolean": "a boolean",
    "date": "a date",
    "datetime": "a date and time with an offset from UTC",
}
_WITHIN = {("float", "integer"), ("float", "padded")}  # type and kind: these values are of the type too


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return None


def _float(value: Any) -> float | None:
    return value if isinstance(value, float) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _date(value: Any) -> datetime.date | None:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    if isinstance(value, str) and _DATE.match(value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            return None
    return None


def _datetime(value: Any) -> datetime.datetime | None:
    """The instant, in UTC, of a time that has an offset."""
    if isinstance(value, str) and _DATETIME.match(value):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        try:
            return value.astimezone(datetime.UTC)
        except OverflowError:
            return None
    return None


def _to_string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value) if isinstance(value, (int, float)) else None


def _to_integer(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        return _integer(int(text)) if _INTEGER.match(text) else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return _integer(int(value))
    return None


def _to_float(value: Any) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        number = float(text) if _FLOAT.match(text) else math.inf
        return number if math.isfinite(number) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= _EXACT else None
    if isinstance(value, Decimal):
        number = float(value)
        return number if Decimal(str(number)) == value else None
    return None


def _to_boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def _to_date(value: Any) -> datetime.date | None:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date()
    return None


_NATIVE: dict[str, Callable[[Any], Any]] = {
    "string": _string, "integer": _integer, "float": _float, "boolean": _boolean, "date": _date,
    "datetime": _datetime,
}  # fmt: skip
_COERCE: dict[str, Callable[[Any], Any]] = {
    "string": _to_string, "integer": _to_integer, "float": _to_float, "boolean": _to_boolean,
    "date": _to_date, "datetime": _datetime,
}  # fmt: skip


def kind_of(value: Any, *, from_text: bool) -> str | None:
    """What kind of scalar `value` shows, None for null, "" for what is no scalar.

    A kind is the name of a type; or `wide`, an integer that no float may stand for; or `padded`, a number of
    text that ends in zeros behind its point. from_text: strings stand for values of any type, as in CSV: of
    those alone that read back as they are written, so that a code, a week or a version stays text.
    """
    if value is None or value != value or (from_text and value == ""):
        return None
    if isinstance(value, str):
        if from_text:
            return _kind_of_text(value)
        return "date" if _date(value) else "datetime" if _datetime(value) else "string"
    if isinstance(value, Decimal):
        if value.is_finite() and value == value.to_integral_value():
            value = int(value)
        else:
            return "float" if _to_float(value) is not None else "string"
    if isinstance(value, int) and not isinstance(value, bool):
        return "string" if _integer(value) is None else "integer" if abs(value) <= _EXACT else "wide"
    for kind in ("boolean", "float", "datetime", "date"):
        if _NATIVE[kind](value) is not None:
            return kind
    if isinstance(value, datetime.datetime):
        return "date" if value.tzinfo is None and _to_date(value) else "string"
    return "string" if _to_string(value) is not None else ""


def _kind_of_text(text: str) -> str:
    if _INTEGER.match(text):
        number = _integer(int(text))
        return "string" if number is None else "integer" if abs(number) <= _EXACT else "wide"
    if _DECIMAL.match(text):
        digits = len(text.strip("-").replace(".", "").lstrip("0"))
        if digits > 15:  # a float holds no more of any number
            return "string"
        return "padded" if text.endswith("0") else "float"
    if text in ("true", "false", "True", "False", "TRUE", "FALSE"):
        return "boolean"
    return "date" if _date(text) else "datetime" if _datetime(text) else "string"
