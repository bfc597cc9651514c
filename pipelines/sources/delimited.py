"""Delimited text: records of a file in rows, each with the file's text as it stands in the row."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.extraction import MOST_COLUMNS, BadData
from pipelines.sources.document_format import Reading, RecordFormat
from pipelines.sources.documents import MAX_VALUES, Note, Reject, no_text_field, note, printable, reject
from pipelines.sources.files import InputFile
from pipelines.sources.lines import TextLines, open_lines
from retrieval.settings import Settings

_DELIMITERS = (",", ";", "\t", "|")  # that are looked for, in this order
_SHOWN = {"\t": "tabs", ",": "commas"}
_QUOTE = '"'


def _one_character(value: str) -> str:
    value = {"\\t": "\t", "tab": "\t"}.get(value, value)
    if value != "auto" and (len(value) != 1 or value in '"\r\n'):
        raise ValueError("a delimiter is one character, and no quote or line end")
    return value


Delimiter = Annotated[str, AfterValidator(_one_character)]


class DelimitedSettings(Settings):
    """How the rows of a table of text are read."""

    delimiter: Delimiter = Field(
        "auto",
        description="What stands between two values: one character, or auto: the first of comma, semicolon, "
        "tab and bar by which the header names the text.",
    )
    quoting: Literal["csv", "none", "auto"] = Field(
        "csv",
        description="csv: a value may stand in double quotes, with delimiters, line ends and doubled quotes "
        "in it. none: a quote is a character, and a line is a row. auto: csv where each name of the header "
        "is quoted, else none.",
    )
    header: Literal["first", "none"] = Field(
        "first", description="first: the first row names the columns. none: `columns` does."
    )
    columns: list[str] = Field(
        default_factory=list,
        description="The names of the columns of files without a header, such as [id, text].",
    )

    @model_validator(mode="after")
    def _names_or_header(self) -> "DelimitedSettings":
        if (self.header == "none") != bool(self.columns):
            raise ValueError(
                "`columns` names the columns of files without a header: header: none, columns: [id, text]"
            )
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("`columns` has a name twice")
        return self


class DelimitedFormat(RecordFormat):
    """Records in rows, as `options` say. It is not cut: a quoted value may hold newlines."""

    options: ClassVar[type[Settings]] = DelimitedSettings
    only_text = True

    def read(
        self, file: InputFile, start: int, end: int, reading: Reading
    ) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:
        return _records(file, reading, self.name)


@dataclass(frozen=True)
class _Shape:
    """How the rows of one file are written. `names`: None where the first row has them."""

    delimiter: str
    quoted: bool
    names: list[str] | None


class _Feed:
    """Gives csv.reader the lines of one record after another, and keeps what is to be known of them."""

    def __init__(self, found: TextLines, max_bytes: int) -> None:
        self._lines = iter(found)
        self._text = found
        self._is_utf8 = found.is_utf8
        self._max_bytes = max_bytes
        self.delimiter = b","
        self.begin()

    def begin(self) -> None:
        """A new record begins."""
        self.line_count = 0
        self.size = 0
        self.cells = 0

    def first(self) -> str | None:
        """The first line, which stays the first; None where there is none. Raises BadData."""
        item = next(self._lines, None)
        if item is None:
            return None
        self._lines = chain([item], self._lines)
        if not isinstance(item[1], bytes):
            next(self._lines)
            raise item[1]
        return self._decoded(item[1])

    def skip(self) -> None:
        """Leave out the next line."""
        next(self._lines, None)

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        _, line = next(self._lines)
        if not isinstance(line, bytes):
            raise line
        self.line_count += 1
        self.size += len(line) + 1
        if self.size > self._max_bytes:
            raise BadData(f"the record is longer than max_document_bytes ({self._max_bytes})")
        self.cells += line.count(self.delimiter)
        if self.cells > MAX_VALUES:
            raise BadData(f"the record may have more than {MAX_VALUES} values")
        if self._is_utf8:
            try:
                return line.decode() + "\n"
            except UnicodeDecodeError:
                pass
        return self._text.text(line) + "\n"

    def _decoded(self, line: bytes) -> str:
        if self._is_utf8:
            try:
                return line.decode()
            except UnicodeDecodeError:
                pass
        return self._text.text(line)


def _records(
    file: InputFile, reading: Reading, format: str
) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:
    """(row number from 0 without the header, record of strings, None for empty ones) of each row of `file`.

    Rows of another width than the header, with a quote that is not closed, or longer than a document may be
    are rejects; so is a whole file whose header has no text field, too many columns, or a name twice.
    """
    csv.field_size_limit(2**31 - 1)  # of the process; records are bounded by _Feed
    text_names = reading.corpus.fields.text
    with open_lines(file, reading) as found:
        feed = _Feed(found, reading.max_bytes)
        try:
            shape = _shape_of(feed, found, reading.options, text_names)
        except BadData as error:
            yield reject(file.name, 0, str(error))
            return
        if shape is None:
            return
        rows = _rows(feed, found, file, shape)
        names = shape.names
        while names is None:
            item = next(rows, None)
            if item is None or isinstance(item, Reject):
                if item is not None:
                    yield item
                return
            if isinstance(item, Note):
                yield item
            else:
                names = [name.strip() for name in item[1]]
        if problem := _header_problem(names, text_names, format, reading.options):
            yield reject(file.name, 0, problem)
            return
        yield from _named(rows, names, file, format, shape)


def _header_problem(
    names: list[str], text_names: Sequence[str], format: str, options: DelimitedSettings
) -> str:
    """Why no row below these names can be used; "" for nothing."""
    if len(names) > MOST_COLUMNS:
        return f"the header has {len(names)} columns, more than {MOST_COLUMNS}"
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        return f"two columns have one name: {twice}"
    if not set(text_names) & set(names):
        told = no_text_field(text_names, names)
        if options.header == "none":
            return f"corpus.options.{format}.columns has {told}"
        return f"the header has {told}; without a header: corpus.options.{format}.header: none, and columns"
    return ""


def _named(
    rows: "Iterator[tuple[int, list[str]] | Reject | Note]", names: list[str], file: InputFile, format: str,
    shape: _Shape,
) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:  # fmt: skip
    """The rows as records."""
    nameless = names.count("")
    if nameless:
        yield note(file.name, 0, f"columns without a name were left out: {nameless}")
    quotes = "" if shape.quoted else f"; if its values are quoted: corpus.options.{format}.quoting: csv"
    for item in rows:
        if isinstance(item, (Reject, Note)):
            yield item
        elif len(item[1]) == len(names):
            record = {n: v or None for n, v in zip(names, item[1], strict=True)}
            if nameless:
                record.pop("", None)
            yield item[0], record
        else:
            begins = printable(",".join(item[1]), 60)
            reason = (
                f"{len(item[1])} columns, and the header has {len(names)}{quotes}; the row begins {begins}"
            )
            yield reject(file.name, item[0], reason)


def _shape_of(
    feed: _Feed, found: TextLines, options: DelimitedSettings, text_names: Sequence[str]
) -> _Shape | None:
    """How the file is written, by its first line; None for a file without one. Raises BadData."""
    line = feed.first()
    if line is None:
        return None
    line = line.removesuffix("\r")
    names = options.columns or None
    delimiter = options.delimiter
    bare = line.strip().strip(_QUOTE)
    if bare.startswith("sep=") and len(bare) == 5 and delimiter in ("auto", bare[4]):
        feed.skip()  # so Excel is told of the delimiter
        delimiter = bare[4]
        found.notes.append(f"values are apart by {_SHOWN.get(delimiter, repr(delimiter))}, as the file says")
    elif delimiter == "auto":
        delimiter = _delimiter(line, names, text_names)
        if delimiter != ",":
            found.notes.append(
                f"values are apart by {_SHOWN.get(delimiter, repr(delimiter))}, by the first line"
            )
    quoted = options.quoting == "csv"
    if options.quoting == "auto":
        cells = line.split(delimiter)
        quoted = len(cells) > 1 and all(len(c) > 1 and c[0] == c[-1] == _QUOTE for c in cells)
        if quoted:
            found.notes.append("values are quoted, as in CSV, by the first line")
    feed.delimiter = delimiter.encode()
    return _Shape(delimiter, quoted, names)


def _delimiter(line: str, names: list[str] | None, text_names: Sequence[str]) -> str:
    """The first delimiter by which the first line has the columns, or names the text; else a comma."""
    for delimiter in _DELIMITERS:
        cells = [cell.strip().strip(_QUOTE).strip() for cell in line.split(delimiter)]
        if (len(cells) == len(names) > 1) if names else (len(cells) > 1 and set(cells) & set(text_names)):
            return delimiter
    return ","


def _rows(
    feed: _Feed, found: TextLines, file: InputFile, shape: _Shape
) -> Iterator[tuple[int, list[str]] | Reject | Note]:
    """(row number, cells); a header is row -1. What is to be said of a row comes in front of it."""

    def begin() -> Iterator[list[str]]:
        if shape.quoted:
            return csv.reader(feed, delimiter=shape.delimiter, strict=True)
        return (line[:-1].removesuffix("\r").split(shape.delimiter) for line in feed)

    rows, number = begin(), -1 if shape.names is None else 0
    while True:
        feed.begin()
        try:
            row = next(rows, None)
        except (csv.Error, BadData) as error:
            count = feed.line_count
            open_quote = f" ({count} lines in one record: is a quote not closed?)" if count > 1 else ""
            yield reject(file.name, max(number, 0), f"{error}{open_quote}")
            rows = begin()  # without the failed record's state
            number += 1
            continue
        if found.notes:
            for text in found.notes:
                yield note(file.name, max(number, 0), text)
            found.notes.clear()
        if row is None:
            return
        if not row or row == [""]:  # a blank line
            continue
        yield number, row
        number += 1
