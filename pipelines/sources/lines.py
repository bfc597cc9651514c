"""Lines of a file of records: with their byte offsets, in bounded memory, and as text.

The encoding of a file and its line ends are found out at its beginning.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice

from pipelines.extraction import (
    UTF8,
    WIDE,
    BadData,
    check_encoding,
    detected_wide,
    guess,
    lossy,
    marked,
    sample_of,
    shown,
)
from pipelines.sources.document_format import Reading
from pipelines.sources.files import InputFile, open_blocks, open_source

_HEAD_BYTES = 64 << 10
_MOST_FAILURES = 20  # of guessing the encoding of a file; each takes a while
_UNKNOWN = "neither UTF-8 nor in an encoding that can be told: name it in corpus.encoding"
_BOM = codecs.BOM_UTF8
_CR_BETWEEN = re.compile(rb"\S\r+\s*\S")


class TextLines:
    """Lines that begin in a range of a file, as bytes of UTF-8 as far as they are valid.

    Iterating gives (byte offset, line without its newline, or a BadData in its place) as `lines` does; in a
    file of UTF-16 or UTF-32 the offset is that in its text as UTF-8. `text` decodes a line that is not UTF-8.
    `notes`: what was found out of the file, and of lines that `text` decoded; the caller takes them out.
    """

    def __init__(self, head: bytes, encoding: str) -> None:
        self.notes: list[str] = []
        self._head = head
        mark = marked(head)
        self.wide = (mark[1] if mark else encoding or detected_wide(head)) if not _is_utf8(mark) else ""
        self.wide = self.wide if self.wide in WIDE else ""
        self._codec = "" if self.wide or mark else encoding if encoding != UTF8 else ""
        self._guessed = UTF8 if encoding == UTF8 or _is_utf8(mark) else ""
        self._failures = 0
        if self.wide and not mark and not encoding:
            self.notes.append(f"decoded as {shown(self.wide)}, which was guessed")
        flat = head.replace(b"\0", b"") if self.wide else head
        self.ends_by_cr = b"\n" not in flat and _CR_BETWEEN.search(flat) is not None
        if self.ends_by_cr:
            self.notes.append("lines end with CR alone")
        self.found: Iterator[tuple[int, bytes | BadData]] = iter(())

    def __iter__(self) -> Iterator[tuple[int, bytes | BadData]]:
        return self.found

    @property
    def is_utf8(self) -> bool:
        """Whether a line is UTF-8 unless it proves otherwise."""
        return not self._codec

    def text(self, line: bytes) -> str:
        """A line as text. Raises BadData where its encoding cannot be told."""
        if self._codec:
            text, note = lossy(line, self._codec)
        else:
            if not self._guessed:
                self._guessed = self._guess(line)
            text, note = lossy(line, self._guessed)
            if self._guessed != UTF8:
                note = f"decoded as {shown(self._guessed)}, which was guessed"
        if note:
            self.notes.append(note)
        return text

    def _guess(self, line: bytes) -> str:
        """The codec of the file, by what of its beginning is not ASCII and by this line."""
        if self._failures >= _MOST_FAILURES:
            raise BadData(_UNKNOWN)
        try:
            return guess(self._seen if line in self._head else self._seen + b"\n" + line)
        except BadData as error:
            self._failures += 1
            raise BadData(_UNKNOWN) from error

    @cached_property
    def _seen(self) -> bytes:
        return sample_of(self._head)


def _is_utf8(mark: tuple[bytes, str] | None) -> bool:
    return mark is not None and mark[1] == UTF8


@contextmanager
def open_lines(file: InputFile, reading: Reading, start: int = 0, end: int = -1) -> Iterator[TextLines]:
    """The lines whose first byte lies in [start, end) of a file; end -1: to the end.

    Text of UTF-16 and UTF-32 is not cut: its first range has all lines. A byte order mark is left out.
    Raises BadData for what is no text, and StorageError.
    """
    options, encoding = reading.corpus.storage_options, check_encoding(reading.corpus.encoding)
    head = b""
    if start:
        with open_source(file, options) as source:  # a compressed file is not cut
            head = source.read(_HEAD_BYTES)
        found = TextLines(head, encoding)
        if found.wide:
            yield found
            return
    # One byte earlier, so that a line that begins exactly at `start` is seen to begin there.
    first = max(0, start - 1)
    with open_blocks(file, options, first, end) as blocks:
        if not start:
            beginning, blocks = _beginning(blocks)
            found = TextLines(beginning[:_HEAD_BYTES], encoding)
            end = -1 if found.wide else end
        if found.wide:
            blocks = _transcoded(blocks, found)
        if found.ends_by_cr:
            blocks = (block.replace(b"\r", b"\n") for block in blocks)
        if start:
            found.notes.clear()  # the first range says so
            first, blocks = from_next_line(blocks, first, end)
        found.found = lines(blocks, first, reading.max_bytes)
        if end >= 0:
            found.found = _within(found.found, end)
        if not start:
            found.found = _without_mark(found.found)
        yield found


def _beginning(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first block, and all of them. What is damaged at once is told by the lines."""
    try:
        first = next(blocks, b"")
    except BadData as error:
        return b"", _raising(error)
    return first, chain([first], blocks)


def _raising(error: BadData) -> Iterator[bytes]:
    raise error
    yield b""


def _transcoded(blocks: Iterator[bytes], found: TextLines) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(found.wide)("replace")
    replaced = 0
    for block in chain(blocks, [b""]):
        text = decoder.decode(block, final=not block)
        if "\ufffd" in text:
            replaced += text.count("\ufffd")
        yield text.encode()
    if replaced:
        found.notes.append(f"invalid {shown(found.wide)} was replaced by U+FFFD: {replaced} times")


def _within(found: Iterator[tuple[int, bytes | BadData]], end: int) -> Iterator[tuple[int, bytes | BadData]]:
    for position, line in found:
        if 0 <= end <= position:
            return
        yield position, line


def _without_mark(found: Iterator[tuple[int, bytes | BadData]]) -> Iterator[tuple[int, bytes | BadData]]:
    first = [
        (p, line.removeprefix(_BOM) if isinstance(line, bytes) else line) for p, line in islice(found, 1)
    ]
    return chain(first, found)


def lines(blocks: Iterable[bytes], position: int, limit: int) -> Iterator[tuple[int, bytes | BadData]]:
    """(byte offset, line without its newline) of each line; the first block lies at byte `position`.

    In place of a line that cannot be had there is a BadData: a line of more than `limit` bytes, which is
    never held whole, or the rest of the file when `blocks` raises one.
    """
    too_long = BadData(f"the line is longer than max_document_bytes ({limit})")
    pending: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            head, newline, rest = block.partition(b"\n")
            size += len(head)
            if size <= limit:
                pending.append(head)
            else:
                pending.clear()
            if not newline:
                continue
            yield position, b"".join(pending) if size <= limit else too_long
            position += size + 1
            *whole, tail = rest.split(b"\n")
            for line in whole:
                yield position, line if len(line) <= limit else too_long
                position += len(line) + 1
            pending, size = [tail], len(tail)
    except BadData as error:
        yield position, error
        return
    if size:
        yield position, b"".join(pending) if size <= limit else too_long


def from_next_line(blocks: Iterator[bytes], position: int, end: int) -> tuple[int, Iterator[bytes]]:
    """Position and blocks from the first line that begins after `position`; nothing if that is past `end`."""
    for block in blocks:
        head, newline, rest = block.partition(b"\n")
        position += len(head) + len(newline)
        if newline:
            return position, chain([rest], blocks)
        if 0 <= end <= position:
            break
    return position, iter(())
