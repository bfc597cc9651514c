"""The only place where text becomes terms: passages when an index is built, queries when it is searched.

Each word is taken by its script: folded, without accents, stemmed; runs of scripts that do not mark words
become grams; beside them whole codes are kept, such as `np.linalg.lstsq`, `ERR-17` or `C++`.
"""

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

from retrieval.lexical.analysis.codes import codes
from retrieval.lexical.analysis.grams import grams
from retrieval.lexical.analysis.languages import Words
from retrieval.lexical.analysis.scripts import pieces, words_of
from retrieval.settings import LexicalSettings
from retrieval.text import folded

ANALYSIS = 2  # raised when the same text becomes other terms: an index is searched by what made it
LONGEST_TERM = 128  # bytes of a word; longer ones are left out
STOP_MARK = "="  # in front of stop words, which are no terms of other searches; no word or code has it there
_MOST_KEPT = 200_000  # words whose terms are remembered: those of a language come again and again
_LONGEST_KEPT = 64  # bytes


class Terms(NamedTuple):
    """Terms of a text, each as often as it occurs, and its stop words, which are searched only alone."""

    words: list[str]
    stop_words: list[str]


class Analyzer:
    """Turns text into terms. Never fails on any text. Safe to use from several threads."""

    def __init__(self, settings: LexicalSettings) -> None:
        self._settings = settings
        self._words: dict[str, Words] = {}
        self._stops: dict[str, str] = {}  # stop words as they are written, and as terms
        self._passage = _Memory(lambda word: self._terms_of(word, query=False))
        self._query = _Memory(lambda word: self._terms_of(word, query=True))

    def __call__(self, text: str) -> list[str]:
        """Terms of a passage without stop words: words, then codes."""
        return self.passage(text).words

    def passage(self, text: str) -> Terms:
        """Terms of a passage, words before codes."""
        return self._analyze(text, self._passage)

    def query(self, text: str) -> Terms:
        """Terms of a query, in the order in which it says them, codes last."""
        return self._analyze(text, self._query)

    def _analyze(self, text: str, memory: "_Memory") -> Terms:
        words = words_of(text)
        found = list(chain.from_iterable(map(memory.__getitem__, words)))
        if self._settings.keep_codes:
            found += codes(text)
        stops = self._stops
        return Terms(found, [stops[word] for word in words if word in stops])

    def _terms_of(self, word: str, *, query: bool) -> tuple[str, ...]:
        """Terms of a word as `words_of` gives it; a stop word has none, and is noted."""
        if word.isascii():
            return self._of_script("latin", word, word)
        found: list[str] = []
        for kind, text in pieces(folded(word)):
            if kind in ("ideographic", "syllabic", "hangul"):
                found += grams(kind, text, query=query)
            elif kind == "symbol":
                found.append(text)
            else:
                found += self._of_script(kind, text, word)
        return tuple(found)

    def _of_script(self, script: str, word: str, written: str) -> tuple[str, ...]:
        if len(word.encode()) > LONGEST_TERM:
            return ()
        words = self._words.get(script)
        if words is None:
            words = self._words[script] = Words(self._settings, script)
        if words.is_stop_word(word):
            self._stops[written] = STOP_MARK + words.plain(word)
            return ()
        return words.terms(word)


class _Memory(dict[str, tuple[str, ...]]):
    """Terms of words that were seen; a bounded number of short ones."""

    def __init__(self, terms_of: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self._terms_of = terms_of

    def __missing__(self, word: str) -> tuple[str, ...]:
        terms = self._terms_of(word)
        if len(word) <= _LONGEST_KEPT and len(terms) <= 2:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[word] = terms
        return terms
