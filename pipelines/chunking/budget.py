"""How far a budget reaches in a text: counted in characters, or in the tokens of a tokenizer."""

import re
from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from pipelines.chunking.boundaries import last_word

if TYPE_CHECKING:  # settings are read by commands that tokenize nothing
    from tokenizers import Encoding, Tokenizer

SEGMENT_CHARACTERS = 1 << 17  # of a long document, tokenized at once: bounds memory
_WORD_TOKENS = 32  # within which a word is expected to start
# Most characters that a token stands for, on average over a passage: a word that a tokenizer does not know
# is one token to it, whatever its length.
_TOKEN_CHARACTERS = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_START, _END = itemgetter(0), itemgetter(1)


class TextMeasure(Protocol):
    """Measures one text. Positions are code points, `units` characters or tokens."""

    def reach(self, start: int, units: int) -> int:
        """The greatest end such that text[start:end] holds at most `units`; greater than `start`.

        For tokens also a bound of characters, for a word of megabytes may be a token.
        """

    def back(self, end: int, units: int) -> tuple[int, bool]:
        """The smallest start such that text[start:end] holds at most `units`, and whether it is sure."""

    def hard_cut(self, lo: int, hi: int) -> tuple[int, bool]:
        """The best cut in [lo, hi] where no text boundary is, and whether it is sure; it may split a cluster.

        A sure cut leaves the units on both sides as they were counted in the whole text.
        """

    def excess(self, start: int, end: int, units: int) -> int:
        """By how much text[start:end], measured alone, is over `units`; 0 or less if it is not."""


class CharacterMeasure:
    """Counts code points."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reach(self, start: int, units: int) -> int:
        return min(start + units, len(self._text))

    def back(self, end: int, units: int) -> tuple[int, bool]:
        return max(end - units, 0), True

    def hard_cut(self, lo: int, hi: int) -> tuple[int, bool]:
        return hi, True

    def excess(self, start: int, end: int, units: int) -> int:
        return end - start - units


class TokenMeasure:
    """Counts tokens; tokenizes a segment at a time, so that memory does not grow with the document.

    A segment starts where a passage starts, so what is tokenized is what the encoder will see. `first`
    is the encoding of `first_segment(text, segment)` when it is known already.
    """

    def __init__(
        self,
        text: str,
        tokenizer: "Tokenizer",
        *,
        segment: int = SEGMENT_CHARACTERS,
        first: "Encoding | None" = None,
    ) -> None:
        self._text = text
        self._tokenizer = tokenizer
        self._segment = segment
        self._load(0, first)

    def _load(self, base: int, encoding: "Encoding | None" = None) -> None:
        end = _segment_end(self._text, base, self._segment)
        if encoding is None:
            segment = tokenizable(self._text[base:end])
            encoding = self._tokenizer.encode_batch([segment], add_special_tokens=False)[0]
        self._base, self._end, self._encoding = base, end, encoding
        self._offsets: list[tuple[int, int]] = encoding.offsets
        self._words: list[int | None] | None = None

    def _token_at(self, position: int) -> int:
        """The first token that ends after `position` (byte-level tokens may begin with its space)."""
        return bisect_right(self._offsets, position - self._base, key=_END)

    def reach(self, start: int, units: int) -> int:
        most = start + _TOKEN_CHARACTERS * units
        while True:
            after = self._token_at(start) + units
            if after < len(self._offsets):
                return min(self._split_token(start, after), most)
            if self._end >= min(len(self._text), most) or self._base == start:
                return min(self._end, most)
            self._load(start)

    def _split_token(self, start: int, after: int) -> int:
        """Start of token `after`; beyond it where one character alone has more tokens than fit."""
        offsets, base = self._offsets, self._base
        while after < len(offsets) and base + offsets[after][0] <= start:
            after += 1
        return base + offsets[after][0] if after < len(offsets) else self._end

    def back(self, end: int, units: int) -> tuple[int, bool]:
        first = bisect_left(self._offsets, end - self._base, key=_START)
        token = max(first - units, 0)
        least = end - _TOKEN_CHARACTERS * units
        for start in range(token, min(token + _WORD_TOKENS, first)):
            if self._starts_word(start) and self._base + self._offsets[start][0] >= least:
                return self._base + self._offsets[start][0], True
        return max(self._base + self._offsets[token][0], least) if token < first else end, False

    def hard_cut(self, lo: int, hi: int) -> tuple[int, bool]:
        """A cut between two words as the tokenizer sees them (CJK, punctuation), else between tokens."""
        token = bisect_right(self._offsets, hi - self._base, key=_START) - 1
        while token > 0 and self._base + self._offsets[token][0] >= lo:
            cut = self._base + self._offsets[token][0]
            if self._starts_word(token):
                return cut, True
            token -= 1
        return hi, False

    def _starts_word(self, token: int) -> bool:
        """Whether the tokenizer's own pre-tokenizer cuts before `token`."""
        if self._words is None:
            self._words = self._encoding.word_ids
        return token == 0 or self._words[token] != self._words[token - 1]

    def excess(self, start: int, end: int, units: int) -> int:
        span = tokenizable(self._text[start:end])
        return len(self._tokenizer.encode(span, add_special_tokens=False)) - units


def _segment_end(text: str, base: int, segment: int) -> int:
    """`base` + `segment`, moved back to white space where some is near, so that no word is split."""
    end = base + segment
    if end >= len(text):
        return len(text)
    cut = last_word(text, max(end - 4096, base + 1), end)
    return cut if cut > base else end


def first_segment(text: str, segment: int = SEGMENT_CHARACTERS) -> str:
    """What a `TokenMeasure` tokenizes first."""
    return tokenizable(text[: _segment_end(text, 0, segment)])


def tokenizable(text: str) -> str:
    """`text` with lone surrogates, which no tokenizer takes, replaced one for one."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
