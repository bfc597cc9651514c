"""Writes the passages of a slice as Parquet parts of bounded size, and its ids."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.parts.id_hashes import id_hash, write_ids
from pipelines.sources import Document, carried
from retrieval.format import part_schema
from retrieval.storage import FileRecord, Store

ROW_GROUP = 4096
PART_CHARACTERS = 256_000_000  # a part is cut here where its passages are few and long


@dataclass
class WrittenPart:
    """A finished part. `content` is a hash of its titles and texts: vectors are named by it."""

    name: str
    rows: int
    documents: int
    content: str
    file: FileRecord


@dataclass
class PartWriter:
    """Collects passages of one slice; `folder` is where its files go, `name` how they begin."""

    store: Store
    folder: str
    name: str
    metadata: Mapping[str, str]
    part_passages: int
    parts: list[WrittenPart] = field(default_factory=list)
    documents: int = 0
    characters: int = 0
    passages: int = 0

    def __post_init__(self) -> None:
        self._schema = part_schema(self.metadata)
        self._columns: list[list[Any]] = [[] for _ in self._schema]
        self._ids: list[bytes] = []
        self._part_documents = 0
        self._part_characters = 0

    def add(self, document: Document, spans: Sequence[tuple[int, int]]) -> None:
        """Add a document with the spans of its passages; there is at least one."""
        self.documents += 1
        self.passages += len(spans)
        self.characters += len(document.text)
        self._ids.append(id_hash(document.doc_id))
        more = carried(document)
        extra = [document.metadata.get(name) for name in self.metadata]
        for number, (start, end) in enumerate(spans):
            if len(self._columns[0]) >= self.part_passages or self._part_characters > PART_CHARACTERS:
                self._flush()
            self._part_characters += end - start + more
            self._part_documents += number == 0  # a document counts in the part of its first passage
            row = (
                document.doc_id, number, document.title, document.text[start:end], start, end,
                document.source, document.position, *extra,
            )  # fmt: skip
            for column, value in zip(self._columns, row, strict=True):
                column.append(value)

    def finish(self) -> FileRecord | None:
        """Write what is left; the file of the ids, None where there are no documents."""
        self._flush()
        if not self._ids:
            return None
        with self.store.writing(f"{self.folder}/{self.name}.ids.npy") as write:
            write_ids(write.path, self._ids)
        return write.done

    def _flush(self) -> None:
        if not self._columns[0]:
            return
        table = pa.Table.from_arrays(
            [pa.array(values, field.type) for values, field in zip(self._columns, self._schema, strict=True)],
            schema=self._schema,
        )
        name = f"{self.name}-{len(self.parts):04d}"
        with self.store.writing(f"{self.folder}/{name}.parquet") as write:
            pq.write_table(table, write.path, compression="zstd", row_group_size=ROW_GROUP)
        content = content_hash(self._columns[2], self._columns[3])
        self.parts.append(WrittenPart(name, table.num_rows, self._part_documents, content, write.done))
        self._columns = [[] for _ in self._schema]
        self._part_documents = 0
        self._part_characters = 0


def content_hash(titles: Sequence[str], texts: Sequence[str]) -> str:
    """24 hexadecimal digits that name what an encoder sees of a part, in order."""
    digest = hashlib.sha256()
    for title, text in zip(titles, texts, strict=True):
        for value in (title.encode(), text.encode()):
            digest.update(len(value).to_bytes(8, "little"))
            digest.update(value)
    return digest.hexdigest()[:24]
