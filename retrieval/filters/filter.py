"""A parsed filter, and the two notations that it is parsed from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.errors import ConfigError
from retrieval.filters.evaluate import select
from retrieval.filters.expression import parse_expression
from retrieval.filters.plain import parse_json, parse_plain
from retrieval.filters.problem import EMPTY_HINT, MAX_CONDITIONS
from retrieval.filters.tree import Node, conditions_of, to_json
from retrieval.format import Passages
from retrieval.text import comparable


@dataclass(frozen=True)
class Filter:
    """A filter whose fields and values fit an index. Equal filters are equal, and hash alike."""

    root: Node

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that it reads, each once."""
        return tuple(dict.fromkeys(leaf.field.name for leaf in conditions_of(self.root)))

    def select(self, passages: Passages) -> npt.NDArray[np.int64]:
        """Rows of a shard that pass, ascending: (n,) int64.

        The columns that it reads, and nothing else, are read and checked at first use. Raises
        IndexDamaged where a column is missing or holds bytes that are not what the schema says.
        """
        return select(self.root, passages)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, of plain values, from which `parse` makes an equal filter."""
        return to_json(self.root)


def parse(expression: str | dict[str, Any], schema: Mapping[str, str]) -> Filter:
    """A filter from an expression, JSON text (it begins with a brace) or the plain values of JSON.

    schema: metadata fields and types of the index, `Manifest.metadata`. The language is described in
    `retrieval.filters`. Raises ConfigError for what is empty or cannot be read, a field that is not there,
    a value of another type than its field's, and filters beyond the bounds of `retrieval.filters.problem`.
    """
    if isinstance(expression, dict):
        root = parse_plain(expression, schema)
    elif isinstance(expression, str):
        json_text = expression.lstrip().startswith("{")
        root = (
            parse_json(expression, schema) if json_text else parse_expression(comparable(expression), schema)
        )
    else:
        raise ConfigError(
            f"a filter is text or a dictionary, not {type(expression).__name__}",
            hint=EMPTY_HINT,
        )
    count = sum(1 for _ in conditions_of(root))
    if count > MAX_CONDITIONS:
        raise ConfigError(
            f"the filter has {count} conditions, more than {MAX_CONDITIONS}",
            hint="Give alternatives of one field as `in (...)`.",
        )
    return Filter(root)
