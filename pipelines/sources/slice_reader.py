"""Reading a slice: its documents and its rejects, one after another, in bounded memory."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pipelines.config import CorpusSettings, MetadataType
from pipelines.sources.document_format import Reading
from pipelines.sources.documents import Document, FieldMapper, Note, Reject, note, reject
from pipelines.sources.kinds import usable
from pipelines.sources.registry import format_named
from pipelines.sources.slices import Slice
from pipelines.sources.values import Mode, kind_of
from retrieval.errors import CorpusmillError

__all__ = ["Document", "Reject", "read_slice", "records"]


def read_slice(
    slice: Slice,
    corpus: CorpusSettings,
    schema: Mapping[str, MetadataType],
    seen: dict[str, list[str]] | None = None,
) -> Iterator[Document | Reject | Note]:
    """Every record of `slice`, in its order, as a document or as a reject, with notes between them.

    `seen` is given the kinds of values, by field, that the schema has no place for; then they cost no
    document, and the record is without them. Memory is bounded by a record or a batch of rows. Bad data are
    rejects, whatever they make a library raise; raises only StorageError, when a file is gone, has changed,
    or cannot be reached.
    """
    only_text = format_named(slice.format, corpus.plugins).only_text
    mode: Mode = "coerce" if only_text else corpus.on_type_mismatch
    if corpus.metadata == "auto" and mode == "coerce" and seen is not None:
        mode = "widen"
    to_document = FieldMapper(corpus, schema, mode, only_text)
    for item in records(slice, corpus, to_document.columns):
        if not isinstance(item, tuple):
            yield item
            continue
        yield _mapped(to_document, *item)
        if to_document.notes:
            yield from (note(item[0], item[1], text) for text in to_document.notes)
            to_document.notes.clear()
    if seen is not None:
        seen.update({name: kinds.names() for name, kinds in to_document.seen.items()})


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
) -> Iterator[tuple[str, int, dict[str, Any]] | Reject | Note]:
    """(source, position, record) of every record of `slice` before the field mapping.

    `columns`: the fields wanted, None for all; a record may have others too.
    """
    found = format_named(slice.format, corpus.plugins)
    reading = Reading(corpus, found.own(corpus), columns)
    items = found.records(slice.files, slice.start, slice.end, reading)
    folders = {file.name: values for file in slice.files if (values := folder_values(file.name))}
    if not folders:
        return items
    return (
        item
        if isinstance(item, (Reject, Note)) or item[0] not in folders
        else (item[0], item[1], folders[item[0]] | item[2])
        for item in items
    )


def folder_values(name: str) -> dict[str, Any]:
    """Fields that the folders of a file give, such as `year=2020/lang=en/a.jsonl`, as Hive writes them."""
    found: dict[str, Any] = {}
    for folder in name.split("/")[:-1]:
        key, equals, value = folder.partition("=")
        if equals and usable(unquote(key)):
            text = None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
            is_integer = text is not None and kind_of(text, from_text=True) in ("integer", "wide")
            found[unquote(key)] = int(text) if text is not None and is_integer else text
    return found
