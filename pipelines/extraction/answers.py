"""What a parser gives of a document: its text, or what is wrong with it."""

from typing import NamedTuple


class Extracted(NamedTuple):
    """Title and text; `notes` say what of the document was guessed, replaced or left out."""

    title: str
    text: str
    notes: tuple[str, ...] = ()


class BadData(Exception):
    """The file's bytes are not what they should be; the message is a reject's reason."""


# How far compressed data may grow: no text grows more, and a bomb costs in proportion to its size.
MAX_EXPANSION = 1000
EXPANSION_SLACK = 16 << 20  # bytes beside it, for small files
