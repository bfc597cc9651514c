"""A result as a dataclass, and as the JSON that commands and servers print."""

from dataclasses import fields
from functools import cache
from typing import Any, Self, cast

_PLAIN = frozenset({str, int, float, bool})  # most values: looked for first


class Record:
    """Base of the dataclasses that results are. Their fields are those of the JSON, in its order.

    A field whose default is None is left out of the JSON while it is None. pydantic makes the schema of a
    record, for the service, and checks what comes back, for the client.
    """

    def as_json(self) -> dict[str, Any]:
        """The object that commands and servers print, of plain values."""
        found = {}
        for name, optional in _fields(cast("Any", type(self))):
            value = getattr(self, name)
            if type(value) in _PLAIN:
                found[name] = value
            elif value is not None or not optional:
                found[name] = _plain(value)
        return found

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """A record from its plain values; fields that are not known are passed over. Raises ValueError."""
        found: Self = _adapter(cast("Any", cls)).validate_python(value)
        return found


@cache
def _fields(kind: Any) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, field.default is None) for field in fields(kind))


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter  # a search needs none

    return TypeAdapter(kind)


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
