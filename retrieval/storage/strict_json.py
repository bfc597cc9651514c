"""JSON of an index, read as what it is: bytes that anybody may have written.

Whatever the bytes are, the result is a value in bounded time and memory, or IndexDamaged that names the
object.
"""

import json
import math
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from retrieval.errors import IndexDamaged

MOST_JSON_BYTES = 16 << 20
# Each value is an object of some hundred bytes in memory, however few it takes in the file.
MOST_VALUES = 1_000_000
MOST_DIGITS = 40
MOST_COUNT = 1 << 53  # of anything: what every reader of JSON holds exactly
REBUILD = "Delete it and build again: what is whole is kept."

Count = Annotated[int, Field(ge=0, le=MOST_COUNT)]
T = TypeVar("T")


class Shape(BaseModel):
    """What an object has to look like: exact types, finite numbers. Other keys are let be."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


def parse_json(
    data: bytes, name: str, *, most_bytes: int = MOST_JSON_BYTES, most_values: int = MOST_VALUES
) -> Any:
    """The value of JSON in UTF-8: no key twice, nothing beyond the limits, numbers finite.

    Raises IndexDamaged, with the `name` of the object, for anything else.
    """
    if len(data) > most_bytes:
        raise IndexDamaged(f"{name} has {len(data):,} bytes, more than {most_bytes:,}", hint=REBUILD)
    # Every value but the first follows one of these; those in texts make the count larger, never smaller.
    values = sum(data.count(sign) for sign in (b",", b"[", b"{"))
    if values > most_values:
        raise IndexDamaged(f"{name} has more than {most_values:,} values", hint=REBUILD)
    try:
        # This one ends at some 200 levels, and takes neither NaN nor half a surrogate pair.
        from_json(data, allow_inf_nan=False, cache_strings="none")
        return json.loads(data, object_pairs_hook=_object, parse_int=_integer, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise IndexDamaged(
            f"{name} is not valid JSON: {ascii(str(error)[:200])[1:-1]}", hint=REBUILD
        ) from error


def read_json_as(
    shape: type[T],
    data: bytes,
    name: str,
    *,
    most_bytes: int = MOST_JSON_BYTES,
    most_values: int = MOST_VALUES,
) -> T:
    """JSON as an object of the type `shape`, which pydantic validates. Raises IndexDamaged as `parse`."""
    parse_json(data, name, most_bytes=most_bytes, most_values=most_values)
    return validated_json(shape, data, name)


def validated_json(shape: type[T], data: bytes | str, name: str) -> T:
    """What was parsed already as an object of the type `shape`. Raises IndexDamaged with the first error."""
    try:
        adapter: TypeAdapter[T] = _adapter(shape)  # type: ignore[arg-type]
        value: T = adapter.validate_json(data, strict=True)
        return value
    except ValidationError as error:
        raise IndexDamaged(f"{name}: {first_error(error)}", hint=REBUILD) from error


def first_error(error: ValidationError) -> str:
    """Where the first error is, and which: one short line, whatever the keys are."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return ascii(f"{place[:100]}: {first['msg'][:200]}")[1:-1]


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is there twice")
    return values


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has more than {MOST_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
