"""The passages of a shard as an Arrow IPC file, memory-mapped: any row without reading the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from retrieval.errors import IndexDamaged
from retrieval.parts import METADATA_PREFIX, passage_id

BATCH_ROWS = 1024  # rows of every record batch but the last, so that a row's batch is known


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
    """The passages of one shard, rows counted from 0."""

    def __init__(self, path: Path, rows: int) -> None:
        """Map the file; raises IndexDamaged if it is not Arrow or has another number of rows."""
        try:
            self._map = pa.memory_map(str(path), "rb")
            self._reader = pa.ipc.open_file(self._map)
        except (OSError, pa.ArrowInvalid) as error:
            raise IndexDamaged(f"{path}: {error}", hint="Run `corpusmill verify`.") from error
        batches = self._reader.num_record_batches
        last = self._reader.get_batch(batches - 1).num_rows if batches else 0
        if max(batches - 1, 0) * BATCH_ROWS + last != rows:
            raise IndexDamaged(f"{path} does not hold {rows} passages", hint="Run `corpusmill verify`.")
        self._path = path
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def get(self, rows: Sequence[int] | np.ndarray) -> list[Passage]:
        """Passages of rows, in their order."""
        return [self._get(int(row)) for row in rows]

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()

    def _get(self, row: int) -> Passage:
        if not 0 <= row < self._rows:
            raise IndexDamaged(
                f"row {row} lies outside the shard {self._path}", hint="Run `corpusmill verify`."
            )
        try:
            batch = self._reader.get_batch(row // BATCH_ROWS).slice(row % BATCH_ROWS, 1)
            batch.validate(full=True)
            values = batch.to_pylist()[0]
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError, IndexError) as error:
            raise IndexDamaged(
                f"{self._path}, row {row}: {error}", hint="Run `corpusmill verify`."
            ) from error
        return Passage(
            passage_id=passage_id(values["doc_id"], values["passage"]),
            doc_id=values["doc_id"],
            title=values["title"],
            text=values["text"],
            start=values["start"],
            end=values["end"],
            source=values["source"],
            metadata={
                name[len(METADATA_PREFIX) :]: value
                for name, value in values.items()
                if name.startswith(METADATA_PREFIX) and value is not None
            },
        )
