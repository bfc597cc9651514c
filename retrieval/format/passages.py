"""The passages of a shard as an Arrow IPC file, memory-mapped: any row without reading the rest."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrieval.deadline import look
from retrieval.errors import IndexDamaged
from retrieval.format.arrow_blocks import ArrowBlocks
from retrieval.format.parquet_schema import BASE_SCHEMA, METADATA_PREFIX, METADATA_TYPES, passage_id

BATCH_ROWS = 1024  # rows of every record batch but the last, so that a row's batch is known
# What Arrow and struct raise for bytes that are not what they should be: lengths may ask for any memory, and
# days and text be none that Python has.
_DAMAGE = (
    pa.ArrowException, OSError, ValueError, OverflowError, IndexError, TypeError, MemoryError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Passage:
    """A passage as a person gets it. `start` and `end` are characters of the document's text."""

    passage_id: str
    doc_id: str
    title: str
    text: str
    start: int
    end: int
    source: str
    metadata: dict[str, Any]


PASSAGE_FIELDS = tuple(field.name for field in fields(Passage))


def write_passages(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> int:
    """Write tables one after the other in batches of equal length; the number of rows.

    At most one table and one batch are held in memory.
    """
    rows = 0
    pending: pa.Table = schema.empty_table()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for table in tables:
            pending = pa.concat_tables([pending, table.cast(schema)])
            whole = len(pending) // BATCH_ROWS * BATCH_ROWS
            for start in range(0, whole, BATCH_ROWS):
                writer.write_batch(_one_batch(pending.slice(start, BATCH_ROWS)))
            pending = pending.slice(whole)
            rows += len(table)
        if len(pending):
            writer.write_batch(_one_batch(pending))
    return rows


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


class Passages:
    """The passages of one shard, rows counted from 0. Safe to use from several threads."""

    def __init__(self, path: Path, rows: int) -> None:
        """Map the file; raises IndexDamaged if it is not Arrow, or lacks columns or rows."""
        self.path = path
        self._rows = rows
        self._columns: dict[str, pa.ChunkedArray] = {}
        try:
            self._map = pa.memory_map(str(path), "rb")
            self._reader = pa.ipc.open_file(self._map)
            self._blocks = ArrowBlocks(self._map.read_at, self._map.size())
            self._check_columns()
            batches = self._reader.num_record_batches
            last = self._batch(batches - 1).num_rows if batches else 0
        except _DAMAGE as error:
            raise self._damaged(str(error)) from error
        if max(batches - 1, 0) * BATCH_ROWS + last != rows:
            raise self._damaged(f"it does not hold {rows} passages")

    def __len__(self) -> int:
        return self._rows

    def get(self, rows: Sequence[int] | np.ndarray) -> list[Passage]:
        """Passages of rows, in their order. Raises IndexDamaged."""
        return [Passage(**values) for values in self.values(rows)]

    def values(
        self, rows: Sequence[int] | np.ndarray, columns: Sequence[str] = PASSAGE_FIELDS
    ) -> list[dict[str, Any]]:
        """Those fields of Passage, of rows in their order; the rest is not read. Raises IndexDamaged."""
        stored = None if len(columns) == len(PASSAGE_FIELDS) else self._stored(columns)
        return [
            {name: _field(found, name) for name in columns}
            for found in (self._values(int(row), stored) for row in rows)
        ]

    def find(self, key: str) -> Passage | None:
        """The passage with this key, `doc_id#n`; looks through the column of document ids."""
        doc_id, _, number = key.rpartition("#")
        if not number.isdecimal() or int(number[:12]) >= 2**31:
            return None
        same = pc.equal(self.column("doc_id"), pa.scalar(doc_id, pa.string()))
        same = pc.and_(same, pc.equal(self.column("passage"), pa.scalar(int(number), pa.int32())))
        rows = np.flatnonzero(same.to_numpy())
        return self.get(rows[:1])[0] if len(rows) else None

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of all rows, a chunk for every BATCH_ROWS of them; it views the mapped file.

        It is checked when it is asked for first, and kept: about 1 MB for a million rows.
        Raises IndexDamaged where there is no such column, or its bytes are not what its type asks for.
        """
        if name not in self._columns:
            self._columns[name] = self._read_column(name)
        return self._columns[name]

    def close(self) -> None:
        """Unmap the file."""
        self._columns.clear()
        self._map.close()

    def _check_columns(self) -> None:
        for field in BASE_SCHEMA:
            if self._type(field.name) != field.type:
                raise self._damaged(f"the column {field.name} is not {field.type}")
        for field in self._reader.schema:
            if field.name.startswith(METADATA_PREFIX):
                known = field.type in METADATA_TYPES
            else:
                known = field.name in BASE_SCHEMA.names
            if not known:
                raise self._damaged(
                    f"no column {field.name[:40]!a} of type {str(field.type)[:40]!a} is written"
                )

    def _stored(self, columns: Sequence[str]) -> list[str]:
        """The columns of the file that fields of Passage are made of."""
        made = {
            "passage_id": ["doc_id", "passage"],
            "metadata": [name for name in self._reader.schema.names if name.startswith(METADATA_PREFIX)],
        }
        return list(dict.fromkeys(part for name in columns for part in made.get(name, [name])))

    def _batch(self, number: int) -> pa.RecordBatch:
        if self._blocks.is_compressed(number):
            raise self._damaged(f"batch {number} is compressed")
        return self._reader.get_batch(number)

    def _type(self, name: str) -> pa.DataType | None:
        place = self._reader.schema.get_field_index(name)
        return self._reader.schema.field(place).type if place >= 0 else None

    def _read_column(self, name: str) -> pa.ChunkedArray:
        found = self._type(name)
        if found is None:
            raise self._damaged(f"it has no column {name}")
        chunks = []
        try:
            # Not by a reader of this column alone: Arrow would copy whole batches for it.
            for number in range(self._reader.num_record_batches):
                look()
                chunk = self._batch(number).column(name)
                chunk.validate(full=True)
                if chunk.null_count and name in BASE_SCHEMA.names:
                    raise self._damaged(f"the column {name} has gaps")
                if len(chunk) != min(BATCH_ROWS, self._rows - number * BATCH_ROWS):
                    raise self._damaged(f"batch {number} has {len(chunk)} rows")
                chunks.append(chunk)
        except _DAMAGE as error:
            raise self._damaged(f"column {name}: {error}") from error
        return pa.chunked_array(chunks, found)

    def _values(self, row: int, columns: list[str] | None = None) -> dict[str, Any]:
        """Values of a row by column, all or those named."""
        look()
        if not 0 <= row < self._rows:
            raise self._damaged(f"row {row} lies outside the shard")
        try:
            batch = self._batch(row // BATCH_ROWS).slice(row % BATCH_ROWS, 1)
            batch = batch if columns is None else batch.select(columns)
            batch.validate(full=True)
            values: dict[str, Any] = batch.to_pylist()[0]
        except _DAMAGE as error:
            raise self._damaged(f"row {row}: {error}") from error
        if any(value is None and name in BASE_SCHEMA.names for name, value in values.items()):
            raise self._damaged(f"row {row} has gaps")
        return values

    def _damaged(self, reason: str) -> IndexDamaged:
        reason = ascii(reason[:200])[1:-1]  # Arrow quotes what it found
        return IndexDamaged(f"{self.path}: {reason}", hint="Run `corpusmill verify`.")


def _field(stored: dict[str, Any], name: str) -> Any:
    """A field of Passage from the columns of its row."""
    if name == "passage_id":
        return passage_id(stored["doc_id"], stored["passage"])
    if name == "metadata":
        return {
            column[len(METADATA_PREFIX) :]: value
            for column, value in stored.items()
            if column.startswith(METADATA_PREFIX) and value is not None
        }
    return stored[name]
