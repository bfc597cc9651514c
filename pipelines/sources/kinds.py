"""The kinds of values that metadata fields show, what type they have in common, and how a type widens."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pipelines.config import MOST_METADATA_FIELDS, MetadataType, is_field_name
from pipelines.sources.values import kind_of, list_item

MOST_NAMES = 4 * MOST_METADATA_FIELDS  # that are remembered beside those of the schema
_DEPTH = 16  # of objects inside each other whose values are looked at
_PANDAS_INDEX = "__index_level_"
_LIST = "list"


class Kinds:
    """What kinds of values a field has shown, and in how many records."""

    __slots__ = ("_decimals", "kinds", "lists", "nested", "records")

    def __init__(self, kinds: Iterable[str] = ()) -> None:
        """kinds: as `names` gives them."""
        self.kinds = set(kinds)
        self.lists = _LIST in self.kinds
        self.kinds.discard(_LIST)
        self.records = 0
        self.nested = False
        self._decimals: set[int] = set()

    def add(self, value: Any, from_text: bool) -> None:
        """The field has this value in a record."""
        self.records += value is not None
        values = value if isinstance(value, list) else [value]
        self.lists |= isinstance(value, list)
        for item in values:
            kind = kind_of(item, from_text=from_text)
            if kind:
                self.kinds.add(kind)
                if from_text and kind in ("padded", "float"):
                    self._decimals.add(len(item) - item.index("."))
            self.nested |= kind == ""

    def names(self) -> list[str]:
        """The kinds, and whether there are lists, as names."""
        return sorted({*self.kinds, *([_LIST] if self.lists else [])})

    def type(self) -> MetadataType | None:
        """The narrowest type that keeps every value as it is; None where there is no value."""
        kinds = set(self.kinds)
        if not kinds:
            return None
        if "padded" in kinds and ("integer" in kinds or len(self._decimals) > 1):
            kind = "string"  # versions: 1.9 and 1.10 differ from 1.1
        elif len(kinds) == 1:
            kind = {"wide": "integer", "padded": "float"}.get(*kinds, *kinds)
        elif kinds <= {"integer", "wide"}:
            kind = "integer"
        else:
            kind = "float" if kinds <= {"integer", "float", "padded"} else "string"
        return f"list[{kind}]" if self.lists else kind  # type: ignore[return-value]


def widened(
    schema: Mapping[str, MetadataType], seen: Iterable[Mapping[str, Collection[str]]]
) -> dict[str, MetadataType]:
    """The schema that also holds the values of these kinds, which some slices have shown beside it.

    A field that the schema has not is added while there are fewer than MOST_METADATA_FIELDS.
    """
    together: dict[str, set[str]] = {}
    for of_slice in seen:
        for name, found in of_slice.items():
            together.setdefault(name, set()).update(found)
    wider = dict(schema)
    for name, kinds in sorted(together.items()):
        if name in schema:
            kinds |= {list_item(schema[name]) or schema[name], *([_LIST] if list_item(schema[name]) else [])}
        elif len(wider) >= MOST_METADATA_FIELDS:
            continue
        if type := Kinds(kinds).type():
            wider[name] = type
    return dict(sorted(wider.items()))


def usable(name: str) -> bool:
    """Whether a field of this name may be metadata."""
    return is_field_name(name) and not name.startswith(_PANDAS_INDEX)


def flat(record: Mapping[str, Any], depth: int = _DEPTH) -> Iterator[tuple[str, Any]]:
    """(name, value) of the fields; those of an object inside it are named behind its name and a point."""
    for name, value in record.items():
        if isinstance(value, dict) and value and depth and all(isinstance(key, str) for key in value):
            for inner, found in flat(value, depth - 1):
                yield f"{name}.{inner}", found
        else:
            yield name, value


def value_at(record: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The value of a field by the name that `flat` gives it; one that is so named itself comes first."""
    if name in record:
        return record[name]
    first, point, rest = name.partition(".")
    while point:
        inner = record.get(first)
        if isinstance(inner, dict):
            found = value_at(inner, rest, default)
            if found is not default:
                return found
        more, point, rest = rest.partition(".")
        first = f"{first}.{more}"
    return default
