"""Reads the Parquet file of a part: its columns as they were written, or IndexDamaged."""

from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from retrieval.errors import IndexDamaged
from retrieval.format import BASE_SCHEMA, check_plain
from retrieval.storage import Store

HINT = "Run `corpusmill verify` on the index, delete what it names, and build again."
# What Arrow raises for bytes that are not what they should be; lengths may ask for any memory.
PART_DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, IndexError, MemoryError)


def read_part(
    store: Store, key: str, columns: Sequence[str] | None = None, rows: int | None = None
) -> pa.Table:
    """Columns of a part, by default all; `rows` are those that it has to have. Raises IndexDamaged."""
    path = store.path(key)
    try:
        with store.fs.open(path, "rb") as file:
            return read_columns(file, columns, rows)
    except FileNotFoundError as error:
        raise IndexDamaged(f"{store.url}/{key} is missing", hint=HINT) from error
    except PART_DAMAGE as error:
        reason = ascii(str(error)[:200])[1:-1]
        raise IndexDamaged(f"{store.url}/{key} cannot be read: {reason}", hint=HINT) from error


def read_columns(file: BinaryIO, columns: Sequence[str] | None, rows: int | None) -> pa.Table:
    """The same of an open file. Raises ValueError and IndexDamaged for another table, and whatever Arrow
    raises."""
    parquet = pq.ParquetFile(file)
    check_plain(parquet.schema_arrow, "a part")
    found = parquet.metadata.num_rows
    if rows is not None and found != rows:  # before room is made for them
        raise ValueError(f"it has {found} rows instead of {rows}")
    for name in columns or BASE_SCHEMA.names:
        place = parquet.schema_arrow.get_field_index(name)
        if place < 0 or parquet.schema_arrow.field(place).type != BASE_SCHEMA.field(name).type:
            raise ValueError(f"the column {name} is not {BASE_SCHEMA.field(name).type}")
    table = parquet.read(columns=None if columns is None else list(columns))
    for name in columns or BASE_SCHEMA.names:
        if table.column(name).null_count or len(table) != found:
            raise ValueError(f"the column {name} has gaps")
    table.validate(full=True)
    return table
