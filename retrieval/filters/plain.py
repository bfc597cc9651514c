"""The JSON form of a filter: objects that stand for the nodes of the tree."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from retrieval.errors import ConfigError
from retrieval.filters.fields import Field, find_field
from retrieval.filters.problem import EMPTY_HINT, MAX_CHARACTERS, MAX_DEPTH, FilterProblem, too_deep
from retrieval.filters.tree import (
    OPERATORS,
    SEVERAL,
    And,
    Condition,
    Has,
    Node,
    Not,
    Or,
    check_operator,
    several,
)

_HINT = (
    'For example {"field": "year", "op": ">=", "value": 2019}, {"has": "year"}, {"not": ...}, '
    '{"and": [...]} or {"or": [...]}.'
)
# An expression's level may be an `or` of `and`s, two of the tree's.
_MAX_TREE_DEPTH = 2 * MAX_DEPTH + 1


def parse_json(text: str, schema: Mapping[str, str]) -> Node:
    """The tree of a filter in JSON. Raises ConfigError."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"the filter has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the filter begins with {{ but is not JSON: {error}", hint=_HINT) from error
    return parse_plain(value, schema)


def parse_plain(value: Any, schema: Mapping[str, str]) -> Node:
    """The tree of a filter in plain values, as from JSON. Raises ConfigError, which names the place."""
    return _Reader(schema).read(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value")


class _Reader:
    def __init__(self, schema: Mapping[str, str]) -> None:
        self._schema = schema
        self._path: list[str] = []

    def read(self, value: Any) -> Node:
        try:
            return self._node(value)
        except FilterProblem as problem:
            where = f" at {''.join(self._path).lstrip('.')}" if self._path else ""
            raise ConfigError(f"the filter{where}: {problem.message}", hint=problem.hint) from problem

    def _node(self, value: Any) -> Node:
        if len(self._path) > 2 * _MAX_TREE_DEPTH:
            raise too_deep()
        if not isinstance(value, dict):
            raise FilterProblem("expected an object", _HINT)
        if set(value) == {"field", "op", "value"}:
            return self._condition(value)
        if not value:
            raise FilterProblem("an object is empty", EMPTY_HINT)
        if len(value) != 1:
            shown = ", ".join(str(key)[:40] for key in list(value)[:5])
            raise FilterProblem(f"an object has the keys {shown}", _HINT)
        ((key, inner),) = value.items()
        if key == "has":
            return Has(self._field(key, inner))
        if key == "not":
            self._path += [".not", ""]
            node = self._node(inner)
            del self._path[-2:]
            return Not(node)
        if key in ("and", "or"):
            terms = self._terms(key, inner)
            if len(terms) == 1:
                return terms[0]
            return And(terms) if key == "and" else Or(terms)
        raise FilterProblem(f"{str(key)[:40]!r} is not part of the filter language", _HINT)

    def _terms(self, key: str, value: Any) -> tuple[Node, ...]:
        if not isinstance(value, (list, tuple)) or not value:
            hint = _HINT if value else EMPTY_HINT
            raise FilterProblem(f"`{key}` expects a list of at least one filter", hint)
        terms = []
        for number, item in enumerate(value):
            self._path += [f".{key}", f"[{number}]"]
            terms.append(self._node(item))
            del self._path[-2:]
        return tuple(terms)

    def _condition(self, value: dict[str, Any]) -> Condition:
        field = self._field("field", value["field"])
        operator = value["op"]
        if operator not in OPERATORS:
            raise FilterProblem(
                f"{str(operator)[:40]!r} is no operator", f"There are {', '.join(OPERATORS)}."
            )
        check_operator(field, operator)
        if operator not in SEVERAL:
            return Condition(field, operator, field.literal(value["value"]))
        values = value["value"]
        if not isinstance(values, (list, tuple)):
            raise FilterProblem(f"{operator!r} expects a list of values", EMPTY_HINT)
        return Condition(field, operator, several(field, [field.literal(item) for item in values]))

    def _field(self, key: str, name: Any) -> Field:
        if not isinstance(name, str):
            raise FilterProblem(f"`{key}` expects the name of a field", _HINT)
        return find_field(name, self._schema)
