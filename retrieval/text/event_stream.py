"""Server-sent events as the HTML standard reads them: lines end in LF, CR LF or CR, and in nothing else."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_CHARACTERS = 64_000_000  # of one event, which is held in memory
_LINE_END = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """An event: its name, "message" where it has none, and its data, lines joined by LF."""

    name: str
    data: str


class LineReader:
    """Cuts the bytes of a stream, as they come, into lines. Text as U+2028 or U+0085 ends no line."""

    def __init__(self, most: int = MOST_CHARACTERS) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._pieces: list[str] = []
        self._size = 0
        self._most = most
        self._after_cr = False  # the CR of the line before may be half a CR LF

    def feed(self, data: bytes) -> list[str]:
        """The lines that end in these bytes. Raises ValueError for a line of more than `most` characters."""
        text = self._decoder.decode(data)
        if text and self._after_cr:
            text = text.removeprefix("\n")
            self._after_cr = False
        if text.endswith("\r"):
            self._after_cr = True
        first, *rest = _LINE_END.split(text)
        self._pieces.append(first)
        self._size += len(first)
        lines = []
        for begun in rest:
            lines.append("".join(self._pieces))
            self._pieces, self._size = [begun], len(begun)
        if self._size > self._most or any(len(line) > self._most for line in lines):
            raise ValueError(f"a line has more than {self._most:,} characters")
        return lines

    def finish(self) -> str:
        """What stands after the last end of a line."""
        rest, self._pieces, self._size = "".join(self._pieces), [], 0
        return rest


class EventReader:
    """Reads events from the bytes of a stream; one that no empty line ends is none."""

    def __init__(self, most: int = MOST_CHARACTERS) -> None:
        self._lines = LineReader(most)
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._most = most

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end in these bytes. Raises ValueError for one of more than `most` characters."""
        for line in self._lines.feed(data):
            if line:
                self._field(line)
                continue
            if self._data:
                yield Event(self._name or "message", "\n".join(self._data))
            self._name, self._data, self._size = "", [], 0

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._most:
                raise ValueError(f"an event has more than {self._most:,} characters")


def split_lines(text: str) -> list[str]:
    """The lines of a whole text."""
    return _LINE_END.split(text)
