"""Text of a corpus, an index, a server or a model, made so that it cannot forge what is printed around it.

Everything foreign that is printed passes `line`. More lines than one there are only in `lines` and `block`,
where each of them is indented.
"""

import textwrap
from collections.abc import Callable, Iterator

from rich.cells import cell_len, chop_cells, set_cell_size

from retrieval.text import printable_line

MOST_FIELD = 200  # columns of a title or an id that is printed in a line
INDENT = "  "
_MOST_WORD = 4_096  # letters that are held until it is known where a word ends


def field(text: object, most: int = MOST_FIELD) -> str:
    """One printable line of at most `most` columns, white space within it as single spaces."""
    told = " ".join(printable_line(text).split())
    return told if cell_len(told) <= most else set_cell_size(told, max(1, most - 1)).rstrip() + "…"


def lines(text: object) -> str:
    """Lines of which all but the first are indented, as of an error that shows a place or lists examples."""
    first, *rest = str(text).splitlines() or [""]
    return "\n".join([printable_line(first), *(_indented(printable_line(one), INDENT) for one in rest)])


def block(text: str, indent: str, width: int) -> Iterator[str]:
    """Indented lines of at most `width` columns, an empty one of the text as an indent alone."""
    for one in text.splitlines():
        yield from _wrapped(printable_line(one), indent, width)


class BlockWriter:
    """Writes a text that comes in pieces as a block: a word is written when it is known where it ends."""

    def __init__(self, write: Callable[[str], None], indent: str, width: int | None) -> None:
        """width: columns of the terminal, at which it would break a line by itself; None: it is none."""
        self._write = write
        self._indent = indent
        self._width = width
        self._column = 0  # 0: the indent is to be written
        self._word = ""
        self._after_cr = False

    def feed(self, piece: str) -> None:
        """The next piece."""
        for letter in piece:
            if not (letter == "\n" and self._after_cr):
                self._take(letter)
            self._after_cr = letter == "\r"

    def finish(self) -> None:
        """The rest."""
        self._put(self._word)
        self._word = ""

    def _take(self, letter: str) -> None:
        ends = letter.splitlines() == [""]
        if not ends and not letter.isspace():
            self._word += letter
            if len(self._word) >= (self._width or _MOST_WORD):
                self.finish()
            return
        self.finish()
        if ends:
            self._write("\n")
            self._column = 0
        else:
            self._put(" ")

    def _put(self, text: str) -> None:
        if not text:
            return
        told = printable_line(text)
        inside = (self._width or 0) - len(self._indent)
        if self._width and self._column and self._column + cell_len(told) > self._width:
            self._write("\n")
            self._column = 0
        for number, part in enumerate(chop_cells(told, max(2, inside)) if self._width else [told]):
            if number:
                self._write("\n")
            if number or not self._column:
                self._write(self._indent)
                self._column = len(self._indent)
            self._write(part)
            self._column += cell_len(part)


def _indented(text: str, indent: str) -> str:
    return text if text.startswith(indent) else indent + text


def _wrapped(text: str, indent: str, width: int) -> Iterator[str]:
    most = max(2, width - len(indent))
    for one in textwrap.wrap(text, most) or [""]:
        for part in chop_cells(one, most) or [""]:  # letters of two columns
            yield indent + part
