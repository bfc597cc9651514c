"""Reading a slice: its documents and its rejects, one after another, in bounded memory."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.config import CorpusSettings, MetadataType
from pipelines.sources.documents import Document, FieldMapper, Reject, reject
from pipelines.sources.files import InputFile
from pipelines.sources.formats import delimited, jsonl, pages, parquet
from pipelines.sources.slices import Slice
from retrieval.errors import CorpusmillError

__all__ = ["Document", "Reject", "read_slice", "records"]


def read_slice(
    slice: Slice, corpus: CorpusSettings, schema: Mapping[str, MetadataType]
) -> Iterator[Document | Reject]:
    """Every record of `slice`, in its order, as a document or as a reject.

    Memory is bounded by a record or a batch of rows. Bad data are rejects, whatever they make a library
    raise; raises only StorageError, when a file is gone, has changed, or cannot be reached.
    """
    mode = "coerce" if slice.format in ("csv", "tsv") else corpus.on_type_mismatch  # CSV knows only strings
    to_document = FieldMapper(corpus, schema, mode)
    for item in records(slice, corpus, to_document.columns):
        yield item if isinstance(item, Reject) else _mapped(to_document, *item)


def _mapped(
    to_document: FieldMapper, source: str, position: int, record: dict[str, Any]
) -> Document | Reject:
    try:
        return to_document(source, position, record)
    except CorpusmillError:
        raise
    except Exception as error:
        return reject(source, position, f"the record cannot be used: {_told(error)}")


def records(
    slice: Slice, corpus: CorpusSettings, columns: set[str] | None
) -> Iterator[tuple[str, int, dict[str, Any]] | Reject]:
    """(source, position, record) of every record of `slice` before the field mapping.

    `columns`: the fields wanted, None for all; a record may have others too.
    """
    if slice.format in pages.FORMATS:
        yield from pages.records(slice.files, corpus)
        return
    for file in slice.files:
        if file.size == 0:
            yield reject(file.name, 0, pages.EMPTY)
            continue
        for item in refusing(file.name, _file_records(file, slice, corpus, columns)):
            yield item if isinstance(item, Reject) else (file.name, *item)


def refusing(
    source: str, items: Iterator[tuple[int, dict[str, Any]] | Reject]
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """The items; what a library did not foresee in the data costs the rest of them, and names the file."""
    position = 0
    try:
        for item in items:
            position = item.position if isinstance(item, Reject) else item[0]
            yield item
    except CorpusmillError:
        raise
    except Exception as error:
        yield reject(source, position, f"cannot be read from here on: {_told(error)}")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _file_records(
    file: InputFile, slice: Slice, corpus: CorpusSettings, columns: set[str] | None
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    options, limit = corpus.storage_options, int(corpus.max_document_bytes)
    if file.format == "jsonl":
        return jsonl.records(file, slice.start, slice.end, options, limit)
    if file.format == "parquet":
        return parquet.records(file, slice.start, slice.end, options, columns, pages.limits(corpus))
    return delimited.records(file, options, limit, corpus.fields.text)
