"""Delimited text: records of a file with a header, each with the file's text as it stands in the row."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pipelines.extraction import MOST_COLUMNS, BadData
from pipelines.sources.document_format import Reading, RecordFormat
from pipelines.sources.documents import MAX_VALUES, Reject, no_text_field, printable, reject
from pipelines.sources.files import InputFile, open_blocks
from pipelines.sources.lines import lines


class _Feed:
    """Gives csv.reader the lines of one record after another, and keeps what is to be known of them."""

    def __init__(
        self, found: Iterator[tuple[int, bytes | BadData]], delimiter: bytes, max_bytes: int
    ) -> None:
        self._found = found
        self._delimiter = delimiter
        self._max_bytes = max_bytes
        self.begin()

    def begin(self) -> None:
        """A new record begins."""
        self.line_count = 0
        self.size = 0
        self.cells = 0
        self.invalid = ""

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        position, line = next(self._found)
        if not isinstance(line, bytes):
            raise line
        self.line_count += 1
        self.size += len(line) + 1
        if self.size > self._max_bytes:
            raise BadData(f"the record is longer than max_document_bytes ({self._max_bytes})")
        self.cells += line.count(self._delimiter)
        if self.cells > MAX_VALUES:
            raise BadData(f"the record may have more than {MAX_VALUES} values")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            self.invalid = self.invalid or f"invalid UTF-8 at byte {position + error.start} of the file"
            text = line.decode(errors="replace")
        return (text[1:] if position == 0 and text.startswith("\ufeff") else text) + "\n"


class DelimitedFormat(RecordFormat):
    """Records in rows, their values apart by `delimiter`. It is not cut: a quoted value may hold newlines."""

    delimiter: ClassVar[str]
    only_text = True

    def read(
        self, file: InputFile, start: int, end: int, reading: Reading
    ) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
        corpus = reading.corpus
        names = corpus.fields.text
        return _records(file, self.delimiter, corpus.storage_options, reading.max_bytes, names)


def _records(
    file: InputFile, delimiter: str, options: Mapping[str, Any], max_bytes: int, text_names: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """(row number from 0 without the header, record of strings, None for empty ones) of each row of `file`.

    Rows of another width than the header, with invalid UTF-8, with a quote that is not closed, or longer than
    `max_bytes` are rejects; so is a whole file whose header has none of `text_names`, or too many
    columns.
    """
    csv.field_size_limit(2**31 - 1)  # of the process; records are bounded by _Feed
    with open_blocks(file, options) as blocks:
        found = _rows(blocks, file, delimiter, max_bytes)
        header = next(found, None)
        if header is None or isinstance(header, Reject):
            if header is not None:
                yield header
            return
        if len(header[1]) > MOST_COLUMNS:
            yield reject(file.name, 0, f"the header has {len(header[1])} columns, more than {MOST_COLUMNS}")
            return
        names = [name.strip() for name in header[1]]
        if not set(text_names) & set(names):
            reason = no_text_field(text_names, names)
            yield reject(file.name, 0, f"the header has {reason}")
            return
        for item in found:
            if isinstance(item, Reject):
                yield item
            elif len(item[1]) == len(names):
                yield item[0], {n: v or None for n, v in zip(names, item[1], strict=True)}
            else:
                begins = printable(",".join(item[1]), 60)
                reason = f"{len(item[1])} columns, and the header has {len(names)}; the row begins {begins}"
                yield reject(file.name, item[0], reason)


def _rows(
    blocks: Iterator[bytes], file: InputFile, delimiter: str, max_bytes: int
) -> Iterator[tuple[int, list[str]] | Reject]:
    """(row number, cells); the header is row -1."""
    feed = _Feed(lines(blocks, 0, max_bytes), delimiter.encode(), max_bytes)
    rows = csv.reader(feed, delimiter=delimiter, strict=True)
    number = -1
    while True:
        feed.begin()
        try:
            row = next(rows, None)
        except (csv.Error, BadData) as error:
            count = feed.line_count
            open_quote = f" ({count} lines in one record: is a quote not closed?)" if count > 1 else ""
            yield reject(file.name, max(number, 0), f"{error}{open_quote}")
            rows = csv.reader(feed, delimiter=delimiter, strict=True)  # without the failed record's state
            number += 1
            continue
        if row is None:
            return
        if not row:  # a blank line
            continue
        if feed.invalid:
            yield reject(file.name, max(number, 0), feed.invalid)
        else:
            yield number, row
        number += 1
