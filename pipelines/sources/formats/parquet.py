"""Parquet: rows of a range of row groups as records, only the columns that are needed.

The format itself is read in a process of its own; see `pipelines.extraction`.
"""

import json
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.extraction import BadData, Limits, thread_extractor
from pipelines.sources.document_format import Cut, Reading, RecordFormat, limits
from pipelines.sources.documents import Reject, reject
from pipelines.sources.files import InputFile, open_source
from pipelines.sources.values import Unreadable
from retrieval.format import python_type

_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError)
_END = struct.Struct("<I4s")  # length of the footer, and the magic bytes
_TAIL_BYTES = 64 << 10  # read at first: most footers are shorter
_FOOTER_BYTES = 64 << 20  # a file with a longer one is not cut
_FOOTERS_AT_ONCE = 16
_FOOTER_PARSER = "pipelines.extraction.tables"


class Parquet(RecordFormat):
    name = "parquet"
    label = "Parquet"
    summary = "rows of Parquet"
    suffixes = ("parquet", "pq", "parq")
    compressible = False
    code = 2

    def cut(
        self, files: Sequence[InputFile], slice_bytes: int, storage_options: Mapping[str, Any]
    ) -> Iterator[Cut]:
        """Ranges of row groups, by their uncompressed size."""
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:  # a footer is mostly waiting for the storage
            for i in range(0, len(files), 4 * _FOOTERS_AT_ONCE):
                some = files[i : i + 4 * _FOOTERS_AT_ONCE]
                footers = pool.map(partial(footer, options=storage_options), some)
                for file, tail in zip(some, footers, strict=True):
                    for start, end in _ranges(row_group_bytes(tail), slice_bytes):
                        yield (file,), start, end

    def read(
        self, file: InputFile, start: int, end: int, reading: Reading
    ) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
        options = reading.corpus.storage_options
        return _records(file, start, end, options, reading.columns, limits(reading.corpus))


def _ranges(sizes: list[int], slice_bytes: int) -> Iterator[tuple[int, int]]:
    if sum(sizes) <= slice_bytes:  # also without row groups, and with a footer that cannot be read
        yield 0, -1
        return
    start, filled = 0, 0
    for i, size in enumerate(sizes):
        if i > start and filled + size > slice_bytes:
            yield start, i
            start, filled = i, 0
        filled += size
    yield start, len(sizes)


def footer(file: InputFile, options: Mapping[str, Any]) -> bytes:
    """The end of the file from its footer on; empty where there is none that can be had."""
    with open_source(file, options) as source:
        size = source.seek(0, 2)
        tail = _last(source, size, _TAIL_BYTES)
        if len(tail) < _END.size:
            return b""
        length = _END.unpack(tail[-_END.size :])[0] + _END.size
        if length > min(size, _FOOTER_BYTES):
            return b""
        return tail if length <= len(tail) else _last(source, size, length)


def _last(source: Any, size: int, count: int) -> bytes:
    source.seek(max(0, size - count))
    return bytes(source.read(min(size, count)))


def row_group_bytes(tail: bytes) -> list[int]:
    """Uncompressed bytes of each row group, by what `footer` gives; empty where it cannot be read."""
    try:
        return [int(size) for size in json.loads(thread_extractor(Limits()).extract(_FOOTER_PARSER, tail)[1])]
    except BadData:
        return []


def _records(
    file: InputFile,
    start: int,
    end: int,
    options: Mapping[str, Any],
    columns: set[str] | None,
    limits: Limits,
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """(row number in the file, record) of row groups [start, end); end -1: to the last. None: all columns.

    What cannot be decoded, or not within the limits, is a `Reject`: of one value or row if only that is
    wrong, else of the rest of the slice.
    """
    row = 0
    wanted = None if columns is None else sorted(columns)
    with (
        open_source(file, options) as source,
        closing(
            thread_extractor(limits).row_batches(source, start=start, end=end, columns=wanted)
        ) as found_batches,
    ):
        try:
            for row, found in found_batches:
                if isinstance(found, str):
                    yield reject(file.name, row, found)
                    continue
                for batch in pa.ipc.open_stream(found):
                    for record in _batch_records(batch):
                        yield row, record
                        row += 1
        except BadData as error:
            yield reject(file.name, row, f"its rows from here on are lost: {error}")


def _batch_records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    if not columns:
        return iter([{} for _ in range(batch.num_rows)])
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _values(column: pa.Array) -> list[Any]:
    """The column's values as Python objects; an `Unreadable` for each that cannot be one."""
    kind = column.type
    if isinstance(kind, pa.ExtensionType):  # of a library, which may unpickle: the stored values will do
        return _values(column.storage)
    if foreign := python_type(kind):
        return [Unreadable(f"values of the type {foreign}")] * len(column)
    if pa.types.is_dictionary(kind):
        values = _values(column.dictionary)
        return [None if i is None else values[i] for i in column.indices.to_pylist()]
    if isinstance(kind, pa.UuidType) or (pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16):
        return [v if v is None else str(uuid.UUID(bytes=v)) for v in _stored(column).to_pylist()]
    if isinstance(kind, pa.BaseExtensionType):
        return _values(column.storage)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = _microseconds(column)
    try:
        values = column.to_pylist()
    except _UNREADABLE:
        values = [_or_unreadable(scalar.as_py) for scalar in column]
    if pa.types.is_fixed_size_binary(kind):
        return [v if v is None else v.hex() for v in values]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        values = [v if v is None else _or_unreadable(v.decode) for v in values]
    return values


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column.type, pa.BaseExtensionType) else column


def _microseconds(column: pa.Array) -> pa.Array:
    """Times in microseconds, as Python has them; as text where that would lose something."""
    try:
        return column.cast(pa.timestamp("us", column.type.tz))
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def _or_unreadable(decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except UnicodeDecodeError as error:
        return Unreadable(f"invalid UTF-8 at byte {error.start}")
    except _UNREADABLE as error:
        return Unreadable(f"a value out of range: {error}")


FORMAT = Parquet()
