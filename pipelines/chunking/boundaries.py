"""Where text may be cut: paragraphs, lines, sentences, words.

Each `last_*` function returns the greatest cut position in [lo, hi], or -1. A cut at `p` means that the
passage is `text[:p]` and that the next one starts at the first non-space character from `p` on.
Positions are code points. Every function is linear in the window it looks at, whatever the text. None looks
at grapheme clusters: `pack` does.
"""

import re
from collections.abc import Callable

from retrieval.text import SENTENCE_END, sentences, skip_space, trim_end

__all__ = ["sentences", "skip_space", "trim_end"]  # used beside the boundaries

_BLANK_LINE = re.compile(r"\n[ \t]+\n")
_SPACE = re.compile(r"\s")
_LOOK_AHEAD = 8  # characters after a window that decide whether a sentence ends at its last character

Boundary = Callable[[str, int, int], int]


def last_paragraph(text: str, lo: int, hi: int) -> int:
    """Blank lines and U+2029."""
    mark = text.rfind("\u2029", lo, hi + 1)
    if text.rfind("\n", lo, hi + 1) < 0:
        return mark
    found = max(mark, text.rfind("\n\n", lo, hi + 2), text.rfind("\n\r\n", lo, hi + 3))
    if found < 0:
        for match in _BLANK_LINE.finditer(text, lo, hi + 1):
            found = match.start()
    return found


def last_line(text: str, lo: int, hi: int) -> int:
    """Line feeds, lone carriage returns and U+2028."""
    found = max(text.rfind("\n", lo, hi + 1), text.rfind("\u2028", lo, hi + 1))
    return found if found >= 0 else text.rfind("\r", lo, hi + 1)


def last_sentence(text: str, lo: int, hi: int) -> int:
    """Ends of sentences, closing quotes and brackets included."""
    found = -1
    for match in SENTENCE_END.finditer(text, max(lo - 5, 0), hi + _LOOK_AHEAD):
        if lo <= match.end() <= hi:
            found = match.end()
    return found


def last_word(text: str, lo: int, hi: int) -> int:
    """White space of any script."""
    found = text.rfind(" ", lo, hi + 1)
    if found >= 0:
        return found
    window = text[lo : hi + 1]
    if window and window[-1].isspace():
        return lo + len(window) - 1
    words = window.rsplit(None, 1)  # splits at every kind of white space, in C
    if len(words) == 2:
        return lo + len(window) - len(words[1]) - 1
    if words and len(words[0]) < len(window):  # white space in front of the only word
        return lo + len(window) - len(words[0]) - 1
    return -1


def last_boundary(text: str, lo: int, hi: int) -> int:
    """The last boundary of the highest level that has one in [lo, hi], or -1."""
    for level in (last_paragraph, last_line, last_sentence, last_word):
        found = level(text, lo, hi)
        if found >= 0:
            return found
    return -1


def first_start(text: str, lo: int, hi: int) -> int:
    """The first position in [lo, hi) where a sentence or line starts, else a word, else -1."""
    for match in SENTENCE_END.finditer(text, max(lo - 5, 0), hi):
        start = skip_space(text, match.end(), hi)
        if lo <= start < hi:
            return start
    for pattern in ("\n", None):
        at = text.find(pattern, max(lo - 1, 0), hi) if pattern else _space(text, max(lo - 1, 0), hi)
        start = skip_space(text, at, hi) if at >= 0 else hi
        if start < hi:
            return start
    return -1


def _space(text: str, lo: int, hi: int) -> int:
    match = _SPACE.search(text, lo, hi)
    return match.start() if match else -1
