"""The syntax tree of a filter, to which both notations lead, and its JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from retrieval.filters.fields import Field, Literal
from retrieval.filters.problem import EMPTY_HINT, MAX_VALUES, FilterProblem

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
SEVERAL = ("in", "not in")
TEXT = ("contains", "starts with")
OPERATORS = (*COMPARISONS, *SEVERAL, *TEXT)


@dataclass(frozen=True)
class Condition:
    """A field compared with a value; with `in` and `not in` it is a tuple of values."""

    field: Field
    operator: str
    value: Literal | tuple[Literal, ...]

    def __post_init__(self) -> None:
        """Raises FilterProblem for a comparison of text that holds for everything."""
        elements = self.operator == "contains" and self.field.is_list
        if self.value == "" and self.operator in (*TEXT, ">=") and not elements:
            raise FilterProblem(
                f"{self.operator!r} with an empty text, which is true of every {self.field.name}", EMPTY_HINT
            )


@dataclass(frozen=True)
class Has:
    """True where the field has a value."""

    field: Field


@dataclass(frozen=True)
class Not:
    """True where the term is not."""

    term: "Node"


@dataclass(frozen=True)
class And:
    """True where all terms are."""

    terms: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    """True where any term is."""

    terms: tuple["Node", ...]


Node: TypeAlias = Condition | Has | Not | And | Or


def check_operator(field: Field, operator: str) -> None:
    """Raise FilterProblem where the operator says nothing about fields of this type."""
    if field.kind == "boolean" and operator not in ("=", "!=", *SEVERAL):
        raise FilterProblem(
            f"{operator!r} does not go with the field {field.name}, which holds true or false",
            "Compare it with = or !=.",
        )
    if operator == "starts with" and field.kind != "string":
        raise FilterProblem(
            f"'starts with' is for text, and the field {field.name} holds values of type {field.kind}",
            "Compare it with =, <, <=, > or >=.",
        )
    if operator == "contains" and field.kind != "string" and not field.is_list:
        raise FilterProblem(
            f"'contains' is for text and lists, and the field {field.name} holds values of type {field.kind}",
            "Compare it with =, <, <=, > or >=.",
        )


def several(field: Field, values: list[Literal]) -> tuple[Literal, ...]:
    """Values of an `in`, each once. Raises FilterProblem where there are too many, or none."""
    if not values:
        raise FilterProblem(f"no values for {field.name}", EMPTY_HINT)
    if len(values) > MAX_VALUES:
        raise FilterProblem(f"{len(values):,} values for {field.name}, more than {MAX_VALUES:,}")
    return tuple(dict.fromkeys(values))


def conditions_of(node: Node) -> Iterator[Condition | Has]:
    """The leaves, from left to right."""
    match node:
        case Condition() | Has():
            yield node
        case Not():
            yield from conditions_of(node.term)
        case And() | Or():
            for term in node.terms:
                yield from conditions_of(term)


def to_json(node: Node) -> dict[str, Any]:
    """The JSON form, of plain values."""
    match node:
        case Condition():
            value = node.value
            plain = [_plain(item) for item in value] if isinstance(value, tuple) else _plain(value)
            return {"field": node.field.name, "op": node.operator, "value": plain}
        case Has():
            return {"has": node.field.name}
        case Not():
            return {"not": to_json(node.term)}
        case And():
            return {"and": [to_json(term) for term in node.terms]}
        case Or():
            return {"or": [to_json(term) for term in node.terms]}


def _plain(value: Literal) -> str | int | float | bool:
    return value.isoformat() if isinstance(value, date) else value
