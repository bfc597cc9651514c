"""Stems and stop words of languages, by tantivy: which language the words of a script are taken for."""

from typing import Any

import tantivy

from retrieval.lexical.analysis.semitic import arabic_stem, hebrew_stem
from retrieval.settings import LexicalSettings
from retrieval.text import folded, unaccented

# Languages that tantivy has a list of stop words for; the others have a stemmer only.
STOP_LISTS = frozenset(
    "danish dutch english finnish french german hungarian italian norwegian portuguese russian spanish "
    "swedish".split()
)
# For `auto`. Letters tell the script of a word, not its language: of several, the one with most texts.
_OF_SCRIPT = {
    "latin": "english", "cyrillic": "russian", "greek": "greek", "arabic": "arabic",
    "hebrew": "hebrew", "tamil": "tamil",
}  # fmt: skip
_LIGHT = {"arabic": arabic_stem, "hebrew": hebrew_stem}  # stemmers of our own


class Words:
    """Turns folded words of one script into terms. `script` as of `scripts.Piece`."""

    def __init__(self, settings: LexicalSettings, script: str) -> None:
        auto = settings.language == "auto"
        named = _OF_SCRIPT.get(script, "none") if auto else settings.language
        language = None if named == "none" else named
        self._fold = settings.fold_accents
        self._listed: frozenset[str] = frozenset()
        self._stops = None
        if isinstance(settings.stop_words, list):
            self._listed = frozenset(map(folded, settings.stop_words))
        elif settings.stop_words and language in STOP_LISTS:
            self._stops = _chain(tantivy.Filter.stopword(language))
        filters = [tantivy.Filter.ascii_fold()] if settings.fold_accents else []
        self._light = _LIGHT.get(language or "") if settings.stemming else None
        if settings.stemming and language and not self._light:
            filters.append(tantivy.Filter.stemmer(language))
        self._stem = _chain(*filters)

    def is_stop_word(self, word: str) -> bool:
        """Whether a folded word, its accents with it, is left out of searches for other words."""
        return word in self._listed or (self._stops is not None and not self._stops.analyze(word))

    def plain(self, word: str) -> str:
        """A folded word as terms are spelled, not stemmed."""
        return unaccented(word) if self._fold else word

    def terms(self, word: str) -> tuple[str, ...]:
        """The terms of a folded word: its stem; of a language of prefixes the word too, where it has one."""
        plain = self.plain(word)
        if self._light is None:
            return tuple(self._stem.analyze(plain))
        return tuple(dict.fromkeys((plain, self._light(plain))))


def _chain(*filters: Any) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
    for one in filters:
        builder = builder.filter(one)
    return builder.build()
