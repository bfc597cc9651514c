"""Parquet: rows of a range of row groups as records, only the columns that are needed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources.documents import Reject, reject
from pipelines.sources.files import InputFile
from pipelines.sources.streams import REQUEST_BYTES, open_source
from pipelines.sources.values import Unreadable

_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 512  # bounds a batch whose rows repeat one long value, which the file's sizes do not show
_DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError)


@contextmanager
def _open(file: InputFile, options: Mapping[str, Any]) -> Iterator[pq.ParquetFile]:
    with open_source(file, options) as source, pa.PythonFile(source, mode="r") as arrow:
        yield pq.ParquetFile(
            arrow, buffer_size=REQUEST_BYTES, pre_buffer=False, page_checksum_verification=True
        )


def row_group_bytes(file: InputFile, options: Mapping[str, Any]) -> list[int]:
    """Uncompressed bytes of each row group; empty where the footer cannot be read."""
    try:
        with _open(file, options) as parquet:
            footer = parquet.metadata
            return [footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)]
    except _DAMAGED:
        return []


def records(
    file: InputFile, start: int, end: int, options: Mapping[str, Any], columns: set[str] | None
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """(row number in the file, record) of row groups [start, end); end -1: to the last. None: all columns.

    What cannot be decoded is a `Reject`: of one value if only that is wrong, else of the rest of the slice.
    """
    row = 0
    try:
        with _open(file, options) as parquet:
            footer = parquet.metadata
            last = footer.num_row_groups if end < 0 else end
            row = sum(footer.row_group(i).num_rows for i in range(start))
            names = [n for n in parquet.schema_arrow.names if columns is None or n in columns]
            for i in range(start, last):
                rows = _batch_rows(footer.row_group(i), set(names))
                for batch in parquet.iter_batches(rows, row_groups=[i], columns=names, use_threads=False):
                    for record in _records(batch):
                        yield row, record
                        row += 1
    except _DAMAGED as error:
        yield reject(file.name, row, f"damaged Parquet file, its rows from here on are lost: {error}")


def _batch_rows(row_group: pq.RowGroupMetaData, names: set[str]) -> int:
    chunks = (row_group.column(i) for i in range(row_group.num_columns))
    size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in names)
    row_bytes: int = max(1, size // max(1, row_group.num_rows))
    return min(_BATCH_ROWS, max(1, _BATCH_BYTES // row_bytes))


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    if not columns:
        return iter([{} for _ in range(batch.num_rows)])
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _values(column: pa.Array) -> list[Any]:
    """The column's values as Python objects; an `Unreadable` for each that cannot be one."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        values = _values(column.dictionary)
        return [None if i is None else values[i] for i in column.indices.to_pylist()]
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    try:
        values = column.to_pylist()
    except _DAMAGED:
        values = [_or_unreadable(scalar.as_py) for scalar in column]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = [v if v is None else _or_unreadable(v.decode) for v in values]
    return values


def _or_unreadable(decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except UnicodeDecodeError as error:
        return Unreadable(f"invalid UTF-8 at byte {error.start}")
    except _DAMAGED as error:
        return Unreadable(f"a value out of range: {error}")
