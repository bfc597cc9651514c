"""Scripts that do not mark words: overlapping runs of their units, single ones and pairs.

A unit is what a reader sees as one sign: an ideograph, a syllable of Hangul, a consonant of Thai or Khmer
with what stands around it. Pairs find every word of two units or more inside any run, whatever a dictionary
knows of it, and the words that particles or other words are written on to.
"""

from itertools import pairwise

import regex

# A vowel in front, a consonant with its marks and those stacked below it, a vowel behind.
_SYLLABIC_UNIT = regex.compile(
    r"[\u0e40-\u0e44\u0ec0-\u0ec4]?"
    r"\P{M}(?:[\u17d2\u1039\u1a60]\P{M}|\p{M})*"
    r"(?:[\u0e30\u0e32\u0e45\u0eb0\u0eb2]|[\u1000-\u102a]\u1037?\u103a\p{M}*)*"
    r"|\p{M}+"
)


def units(kind: str, run: str) -> list[str]:
    """The units of a run of one kind."""
    return _SYLLABIC_UNIT.findall(run) if kind == "syllabic" else list(run)


def grams(kind: str, run: str, *, query: bool) -> list[str]:
    """Terms of a run: in a passage its units and their pairs, in a query its pairs, or its only unit."""
    single = units(kind, run)
    pairs = list(map("".join, pairwise(single)))
    if query:
        return pairs or single
    return single + pairs
