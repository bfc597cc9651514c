"""Where words are in a text, and which script each piece of one is of."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import regex

# Scripts of East and South-East Asia that do not mark words. Tibetan and Yi mark syllables.
IDEOGRAPHIC = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u30fc\u3099\u309a"
SYLLABIC = (
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}"
    r"\p{Balinese}"
)
SPACELESS = IDEOGRAPHIC + SYLLABIC
_PIECES = regex.compile(
    rf"""(?V1)
      (?P<ideographic>[{IDEOGRAPHIC}]+)
    | (?P<syllabic>[{SYLLABIC}]+)
    | (?P<hangul>\p{{Hangul}}+)
    | (?P<word>[[\p{{L}}\p{{M}}\p{{N}}]--[{SPACELESS}\p{{Hangul}}]]+)
    | (?P<symbol>\p{{Regional_Indicator}}{{2}} | \p{{Extended_Pictographic}})
    """,
    regex.VERBOSE,
)
# The script of a word is that of its first letter, for a unit or a Greek sign may stand behind; of others
# than these, Latin.
_SCRIPT = regex.compile(
    r"[\p{N}\p{M}]*(?:(?P<arabic>\p{Arabic})|(?P<cyrillic>\p{Cyrillic})|(?P<greek>\p{Greek})"
    r"|(?P<hebrew>\p{Hebrew})|(?P<tamil>\p{Tamil}))"
)
_ASCII = str.maketrans({chr(code): chr(code).lower() if chr(code).isalnum() else " " for code in range(128)})
_IN_WORDS = ("Mn", "Mc", "Me", "Cf", "So")
_TRADE_MARKS = "\u2122\u2120\u00ae\u00a9\u2117"  # symbols that would become letters of the word before them


class Piece(NamedTuple):
    """A piece of a word: ideographic, syllabic, hangul, symbol, or the script of a word."""

    kind: str
    text: str


def words_of(text: str) -> list[str]:
    """What stands between spaces and punctuation, in lower case and else as it is written.

    Marks, symbols and what is not shown are part of a word: `pieces` looks closer.
    """
    if text.isascii():
        return text.translate(_ASCII).split()
    return _word_finder().findall(text.lower().replace("_", " "))


def pieces(word: str) -> Iterator[Piece]:
    """The pieces of a folded word, each of one kind."""
    for match in _PIECES.finditer(word):
        kind = match.lastgroup or "word"
        if kind == "word":
            script = _SCRIPT.match(match.group())
            kind = (script and script.lastgroup) or "latin"
        yield Piece(kind, match.group())


@cache
def _word_finder() -> "re.Pattern[str]":
    """A run of letters, digits, marks, symbols and what is not shown. `re` is twice as fast as `regex` here.

    Beyond the basic plane, where `re` would look at each range, every character is of a word.
    """
    ranges: list[list[int]] = []
    for code in range(0xA0, 0x10000):
        letter = chr(code)
        if unicodedata.category(letter) not in _IN_WORDS or letter in _TRADE_MARKS:
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    wanted = "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)
    return re.compile(rf"[\w{wanted}\U00010000-\U0010ffff]+")
