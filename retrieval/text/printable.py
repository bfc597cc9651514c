"""Text of a corpus, an index, a request or a model as one printable line, which forges none around it."""

import unicodedata
from collections.abc import Iterator

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d"  # they spell words and emoji
_MOST_MARKS = 8  # one above the other: more would cover the lines around


def printable_line(text: object) -> str:
    """One printable line, with its spaces as they are.

    No line breaks of any kind, escapes, marks that turn the direction of text, or lone surrogates are left.
    """
    return "".join(_letters(str(text)))


def _letters(text: str) -> Iterator[str]:
    marks = 0
    for letter in text:
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if marks > _MOST_MARKS:
            continue
        if letter.isprintable() or letter in _JOINERS:
            yield letter
        else:
            yield " " if letter.isspace() else _REPLACEMENT
