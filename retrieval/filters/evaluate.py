"""Which rows of a shard pass a filter: Arrow's kernels over a bounded number of rows at a time."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retrieval.deadline import look
from retrieval.errors import IndexDamaged
from retrieval.filters.fields import Field
from retrieval.filters.tree import And, Condition, Has, Node, Not, Or, conditions_of
from retrieval.format import Passages
from retrieval.text import comparable

Mask = npt.NDArray[np.bool_]

GROUP_ROWS = 65_536  # rows whose columns are put together and compared at once
GROUP_BYTES = 64_000_000  # of the columns of these rows; texts may be long

_COMPARE = {
    "=": pc.equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def select(root: Node, passages: Passages) -> npt.NDArray[np.int64]:
    """Rows that pass, ascending: (n,) int64. Raises IndexDamaged as `Passages.column`."""
    fields = {leaf.field.column: leaf.field for leaf in conditions_of(root)}
    chunks = {name: _chunks(passages, field) for name, field in fields.items()}
    found = [np.empty(0, np.int64)]
    first = 0
    for start, end in _groups(list(chunks.values())):
        look()
        columns = {name: _elements(fields[name], own[start:end]) for name, own in chunks.items()}
        mask = _mask(root, columns)
        found.append(np.flatnonzero(mask) + first)
        first += len(mask)
    return np.concatenate(found)


def _chunks(passages: Passages, field: Field) -> list[pa.Array]:
    column = passages.column(field.column)
    if column.type != field.arrow_type:
        raise IndexDamaged(
            f"the column {field.column} of {passages.path} is {column.type}, the manifest says "
            f"{field.arrow_type}",
            hint="Run `corpusmill verify`.",
        )
    return list(column.chunks)


def _groups(columns: list[list[pa.Array]]) -> Iterator[tuple[int, int]]:
    """Ranges of chunks [start, end) within GROUP_ROWS and GROUP_BYTES, or of a single chunk."""
    start = rows = size = 0
    for number, chunks in enumerate(zip(*columns, strict=True)):
        own = sum(chunk.nbytes for chunk in chunks)
        if number > start and (rows + len(chunks[0]) > GROUP_ROWS or size + own > GROUP_BYTES):
            yield start, number
            start, rows, size = number, 0, 0
        rows += len(chunks[0])
        size += own
    if rows:
        yield start, number + 1


class _Column:
    """Elements of a field for some rows: one or none a row, or a row's list of them."""

    def __init__(self, elements: pa.Array, offsets: npt.NDArray[np.int64] | None, rows: Mask | None) -> None:
        self.elements = elements
        self._offsets = offsets
        self._rows = rows
        self.present = self.any(pc.is_valid(elements))

    @cached_property
    def comparable(self) -> pa.Array:
        """Elements of text as filters compare them; most columns are ASCII and stay what they are."""
        plain = pc.fill_null(pc.string_is_ascii(self.elements), True)
        if pc.all(plain, min_count=0).as_py():
            return self.elements
        encoded = self.elements.dictionary_encode()
        values = pa.array(map(comparable, encoded.dictionary.to_pylist()), self.elements.type)
        return values.take(encoded.indices)

    def any(self, hits: pa.Array) -> Mask:
        """Rows with an element that is hit: (n,) bool. hits: boolean of each element; null is no hit."""
        mask: Mask = pc.fill_null(hits, False).to_numpy(zero_copy_only=False)
        if self._offsets is None or self._rows is None:
            return mask
        before = np.concatenate([[0], np.cumsum(mask)])
        found: Mask = before[self._offsets[1:]] > before[self._offsets[:-1]]
        return found & self._rows


def _elements(field: Field, chunks: list[pa.Array]) -> _Column:
    array = pa.concat_arrays(chunks)
    if field.is_list:
        offsets = array.offsets.to_numpy().astype(np.int64)
        rows = pc.is_valid(array).to_numpy(zero_copy_only=False)
        elements = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        return _Column(elements, offsets - offsets[0], rows)
    if field.column == "title":  # documents without one have an empty title
        array = pc.if_else(pc.equal(array, ""), None, array)
    return _Column(array, None, None)


def _mask(node: Node, columns: dict[str, _Column]) -> Mask:
    """Rows of the group for which the node is true: (n,) bool."""
    match node:
        case Condition():
            return _condition(node, columns[node.field.column])
        case Has():
            return columns[node.field.column].present
        case Not():
            return ~_mask(node.term, columns)
        case And():
            return np.logical_and.reduce([_mask(term, columns) for term in node.terms])
        case Or():
            return np.logical_or.reduce([_mask(term, columns) for term in node.terms])


def _condition(node: Condition, column: _Column) -> Mask:
    field, elements = node.field, column.elements
    if field.kind == "string":
        elements = column.comparable
    if node.operator in ("!=", "not in"):
        positive = Condition(field, "=" if node.operator == "!=" else "in", node.value)
        return column.present & ~_condition(positive, column)
    if elements.type == pa.int32():  # `passage`, which is compared with any 64-bit integer
        elements = elements.cast(pa.int64())
    if isinstance(node.value, tuple):
        hits = pc.is_in(elements, value_set=pa.array(node.value, elements.type))
    elif node.operator == "starts with":
        hits = pc.starts_with(elements, str(node.value))
    elif node.operator == "contains" and not field.is_list:
        hits = pc.match_substring(elements, str(node.value))
    else:
        operator = "=" if node.operator == "contains" else node.operator
        hits = _COMPARE[operator](elements, pa.scalar(node.value, elements.type))
    return column.any(hits)
