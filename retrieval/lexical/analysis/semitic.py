"""Arabic and Hebrew write articles, prepositions and conjunctions on to the word: what is left of it."""

import re

# After light10 (Larkey, Ballesteros and Connell, Light Stemming for Arabic Information Retrieval, 2007): a
# conjunction and an article with the preposition before it; here again and again, so that a word that
# begins with such a letter loses it with and without an article.
_ARABIC_PREFIX = re.compile(
    "(?:[\u0648\u0641]?[\u0628\u0643]?\u0627\u0644|[\u0648\u0641]?\u0644\u0644)(?=..)|\u0648(?=...)"
)
_ARABIC_SUFFIXES = (
    "\u0647\u0627", "\u0627\u0646", "\u0627\u062a", "\u0648\u0646", "\u064a\u0646", "\u064a\u0647",
    "\u064a\u0629", "\u0647", "\u0629", "\u064a",
)  # fmt: skip
_HEBREW_PREFIXES = "\u05d4\u05d5\u05d1\u05db\u05dc\u05de\u05e9"  # the, and, in, as, to, from, that
_SHORTEST_HEBREW = 3


def arabic_stem(word: str) -> str:
    """A word of the Arabic script, folded, without articles, conjunctions and the commonest endings."""
    while match := _ARABIC_PREFIX.match(word):
        word = word[match.end() :]
    for suffix in _ARABIC_SUFFIXES:
        if len(word) - len(suffix) >= 2:
            word = word.removesuffix(suffix)
    return word


def hebrew_stem(word: str) -> str:
    """A folded Hebrew word without what is written on to its beginning.

    A word that begins with such a letter loses it too, with or without a prefix: both sides agree.
    """
    while len(word) > _SHORTEST_HEBREW and word[0] in _HEBREW_PREFIXES:
        word = word[1:]
    return word
