"""The Parquet schema of the parts: what people read with pandas, and what shards are made from.

| column | type | what it is |
| --- | --- | --- |
| doc_id | string | id of the document |
| passage | int32 | number of the passage in its document, from 0; the passage's key is `doc_id#passage` |
| title | string | title of the document, empty if it has none |
| text | string | the passage: `document.text[start:end]` |
| start, end | int64 | span in the document's text, in characters (Unicode code points) |
| source | string | file that the document was read from |
| position | int64 | row number (Parquet, CSV) or byte offset (JSONL) of the document in that file |
| metadata.NAME | as declared | a metadata field of the document; null where it has none |
"""

from collections.abc import Mapping

import pyarrow as pa

from retrieval.errors import IndexDamaged

METADATA_PREFIX = "metadata."
ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", "UTC"),
}
METADATA_TYPES = (*ARROW_TYPES.values(), *map(pa.list_, ARROW_TYPES.values()))
BASE_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("passage", pa.int32(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
    ]
)


def arrow_type(metadata_type: str) -> pa.DataType:
    """Arrow type of a declared metadata type, such as `integer` or `list[string]`."""
    if metadata_type.startswith("list["):
        return pa.list_(ARROW_TYPES[metadata_type[5:-1]])
    return ARROW_TYPES[metadata_type]


def part_schema(metadata: Mapping[str, str]) -> pa.Schema:
    """Schema of the parts of an index with these metadata fields."""
    fields = [pa.field(METADATA_PREFIX + name, arrow_type(kind)) for name, kind in metadata.items()]
    return pa.schema([*BASE_SCHEMA, *fields])


def passage_id(doc_id: str, passage: int) -> str:
    """The key of a passage."""
    return f"{doc_id}#{passage}"


def check_plain(schema: pa.Schema, what: str) -> None:
    """Raises IndexDamaged where a column's values would be made by code; see `python_type`."""
    for field in schema:
        if found := python_type(field.type):
            raise IndexDamaged(
                f"the column {field.name!r} of {what} has the type {found}, whose values are made by code",
                hint="No corpusmill writes such a column. Do not use this index unless you know who made it.",
            )


def python_type(kind: pa.DataType) -> str | None:
    """The extension type of a Python library that `kind` is or holds at any depth; None where there is none.

    A file names such a type, and the library decides what becomes of the bytes: Ray Data unpickles them.
    """
    if isinstance(kind, pa.ExtensionType):  # those that Arrow itself defines have another base
        return str(kind.extension_name)
    if isinstance(kind, pa.BaseExtensionType):
        return python_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return python_type(kind.value_type)
    found = (python_type(kind.field(number).type) for number in range(kind.num_fields))
    return next((name for name in found if name), None)
