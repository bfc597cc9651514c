"""Reading a slice: its documents and its rejects, one after another, in bounded memory."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.config import CorpusSettings, MetadataType
from pipelines.sources.document_format import Reading
from pipelines.sources.documents import Document, FieldMapper, Reject, reject
from pipelines.sources.registry import format_named
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
    only_text = format_named(slice.format, corpus.plugins).only_text
    mode = "coerce" if only_text else corpus.on_type_mismatch
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
        return reject(source, position, f"the record cannot be used: {type(error).__name__}: {error}")


def records(
    slice: Slice, corpus: CorpusSettings, columns: set[str] | None
) -> Iterator[tuple[str, int, dict[str, Any]] | Reject]:
    """(source, position, record) of every record of `slice` before the field mapping.

    `columns`: the fields wanted, None for all; a record may have others too.
    """
    found = format_named(slice.format, corpus.plugins)
    reading = Reading(corpus, found.own(corpus), columns)
    return found.records(slice.files, slice.start, slice.end, reading)
