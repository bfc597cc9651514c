"""Near-duplicates: passages that say no more than a better one."""

import re
from collections.abc import Sequence
from typing import TypeVar

from retrieval.deadline import look
from retrieval.format import Passage

P = TypeVar("P", bound=Passage)
SHINGLE = 16  # characters, about three words: shingles of words would need words, which not all scripts mark
COPIED = 0.9  # of a passage's shingles, from which on it is a copy
LONGEST = 20_000  # characters that are cut into shingles: longer texts are copies where they are equal
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")


def without_copies(passages: Sequence[P], known: Sequence[P] = ()) -> list[P]:
    """Those that are no copy of one before them, or of a known one.

    A copy has nine tenths of its text, whatever the spaces, marks and capitals, in the other, and all of its
    numbers: of two texts that differ in a year each answers another question. Passages that overlap in one
    document are none: they are joined.
    """
    kept = [(passage, _Text(passage.text)) for passage in known]
    for passage in passages:
        look()
        text = _Text(passage.text)
        if not any(text.copies(other) and not _overlap(passage, one) for one, other in kept):
            kept.append((passage, text))
    return [passage for passage, _ in kept[len(known) :]]


class _Text:
    def __init__(self, text: str) -> None:
        plain = " ".join(_WORD.findall(text.casefold()))
        self.plain = plain or text
        self.numbers = set(_NUMBER.findall(plain)) if len(plain) <= LONGEST else set()
        self.shingles: set[str] = set()
        if SHINGLE < len(plain) <= LONGEST:
            self.shingles = {plain[place : place + SHINGLE] for place in range(len(plain) - SHINGLE + 1)}

    def copies(self, other: "_Text") -> bool:
        if self.plain == other.plain:
            return True
        if not self.shingles or not other.shingles or not self.numbers <= other.numbers:
            return False
        return len(self.shingles & other.shingles) >= COPIED * len(self.shingles)


def _overlap(one: Passage, other: Passage) -> bool:
    return one.doc_id == other.doc_id and one.start <= other.end and other.start <= one.end
