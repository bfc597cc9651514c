"""Rows of a Parquet file, in batches that a reader can hold: the part that runs in the process.

The process has no access to the file: it asks its parent for bytes. Rows go back as Arrow IPC streams.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.extraction.answers import EXPANSION_SLACK, MAX_EXPANSION, BadData

_BUFFER_BYTES = 8 << 20
_BATCH_BYTES = 4 << 20
BATCH_ROWS = 512  # bounds a batch whose rows repeat one long value, which the file's sizes do not show
_FEWER = 32  # times fewer rows where a batch does not fit in memory
_PIECE_BYTES = 16 << 20
_ROW_BYTES = 8
_OF_BYTES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_VALUE_BYTES = 64  # of an element of a list, once it is a Python object
MOST_COLUMNS = 10_000  # a wider file holds no documents
_DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError)

RowBatch = tuple[
    int, int, memoryview | str
]  # first row, row after the last, Arrow IPC stream or why there is none


def extract(data: bytes, max_bytes: int) -> tuple[str, str]:
    """("", uncompressed bytes of each row group as JSON) of the end of a file with its whole footer."""
    try:
        footer = pq.read_metadata(pa.BufferReader(data))
    except MemoryError:
        raise
    except _DAMAGED as error:
        raise BadData(f"damaged Parquet file: {error}") from error
    return "", json.dumps([footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)])


def row_batches(source: Any, request: dict[str, Any], memory: int) -> Iterator[RowBatch]:
    """Pieces of row groups [start, end) from row `from_row` on; what is damaged costs the rows after it.

    request: `start`, `end` (-1: to the last), `columns` (null: all), `from_row`, the file's `size`, and
    the bytes `given` before that row. Raises MemoryError, and BadData for a file of too many columns.
    """
    row = 0
    try:
        with pa.PythonFile(source, mode="r") as file:
            parquet = pq.ParquetFile(
                file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            footer, columns = parquet.metadata, request["columns"]
            last = footer.num_row_groups if request["end"] < 0 else request["end"]
            if footer.num_columns > MOST_COLUMNS:
                raise BadData(f"{footer.num_columns} columns, more than {MOST_COLUMNS}")
            row = sum(footer.row_group(i).num_rows for i in range(request["start"]))
            every = parquet.schema_arrow.names
            if len(set(every)) < len(every):
                twice = next(name for i, name in enumerate(every) if name in every[:i])
                raise BadData(f"two columns have one name: {twice}")
            names = [n for n in every if columns is None or n in columns]
            most = _most_bytes(parquet, set(names), request["size"])
            allowed, given = 0, request["given"]
            for i in range(request["start"], last):
                allowed += most[i]
                skip = max(0, request["from_row"] - row)
                row += min(skip, footer.row_group(i).num_rows)
                for batch in _batches(parquet, i, names, skip):
                    given += _given(batch)
                    if given > allowed:
                        yield (
                            row,
                            row,
                            f"the rows expand more than {MAX_EXPANSION} times, the rest is not read",
                        )
                        return
                    for count, found in _cut(batch, memory // 2):
                        yield row, row + count, found
                        row += count
    except MemoryError:
        raise
    except _DAMAGED as error:
        yield row, row, f"damaged Parquet file, its rows from here on are lost: {error}"


def _most_bytes(parquet: pq.ParquetFile, names: set[str], size: int) -> list[int]:
    """What the rows of each row group may take, by its compressed bytes; raises BadData for false ones.

    All of a file may take no more than it could as a compressed text, however it is cut.
    """
    footer, schema = parquet.metadata, parquet.schema
    wanted = [i for i in range(footer.num_columns) if schema.column(i).path.split(".")[0] in names]
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    compressed = [sum(max(0, group.column(i).total_compressed_size) for i in wanted) for group in groups]
    if sum(compressed) > size:
        raise BadData("damaged Parquet file: its row groups have more bytes than the file, or share some")
    return [MAX_EXPANSION * count + EXPANSION_SLACK // len(groups) for count in compressed]


def _given(batch: pa.RecordBatch) -> int:
    """Bytes of the batch with its dictionaries written out, and some for each row: it becomes an object."""
    return _ROW_BYTES * batch.num_rows + sum(map(_written_out, batch.columns))


def _written_out(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    kind = column.type.value_type
    if any(test(kind) for test in _OF_BYTES):
        lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
        return pc.sum(lengths).as_py() or 0
    return int(column.indices.nbytes)


def _batches(parquet: pq.ParquetFile, group: int, names: list[str], skip: int) -> Iterator[pa.RecordBatch]:
    """Batches of a row group after its first `skip` rows, shorter ones where memory ends."""
    rows = _batch_rows(parquet.metadata.row_group(group), set(names))
    while True:
        seen = 0
        try:
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
                fresh = batch.slice(max(0, skip - seen))
                seen += batch.num_rows
                if fresh.num_rows:
                    skip = seen
                    yield fresh
            return
        except MemoryError:
            if rows == 1:
                raise
            rows = max(1, rows // _FEWER)


def _batch_rows(row_group: pq.RowGroupMetaData, names: set[str]) -> int:
    chunks = (row_group.column(i) for i in range(row_group.num_columns))
    size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in names)
    row_bytes: int = max(1, size // max(1, row_group.num_rows))
    return min(BATCH_ROWS, max(1, _BATCH_BYTES // row_bytes))


def _cut(batch: pa.RecordBatch, most: int) -> Iterator[tuple[int, memoryview | str]]:
    """The batch as it is, or row by row where it is large; a row of more than `most` bytes is refused."""
    if _weight(batch) <= _PIECE_BYTES:
        yield batch.num_rows, _stream(batch)
        return
    for i in range(batch.num_rows):
        columns = [_plain(column.slice(i, 1)) for column in batch.columns]
        row = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        fits = _weight(row) <= most
        yield 1, _stream(row) if fits else f"the row takes more than {most} bytes of memory"


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _weight(batch: pa.RecordBatch) -> int:
    return sum(column.nbytes + _VALUE_BYTES * _elements(column) for column in batch.columns)


def _elements(array: pa.Array) -> int:
    """How many elements the lists in `array` have, at all levels: those of nulls take no bytes in Arrow."""
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(len(array) + _elements(child) for child in array.flatten())
    if pa.types.is_map(kind):
        first, after = (array.offsets[i].as_py() for i in (0, len(array)))
        entries = (array.keys.slice(first, after - first), array.items.slice(first, after - first))
        return sum(len(child) + _elements(child) for child in entries)
    if pa.types.is_nested(kind):
        child = array.flatten()
        return len(child) + _elements(child)
    return 0


def _stream(batch: pa.RecordBatch) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


class AskedFile:
    """A file that is read by asking for its bytes; for `pyarrow.PythonFile`."""

    closed = False

    def __init__(self, ask: Callable[[int, int], memoryview], size: int) -> None:
        self._ask = ask
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        count = left if size < 0 else min(size, left)
        data = bytes(self._ask(self._position, count)) if count else b""
        self._position += len(data)
        return data

    def close(self) -> None:
        self.closed = True
