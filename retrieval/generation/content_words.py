"""The words of a text that say something, to compare what two texts say."""

import re
from functools import cache

from retrieval.lexical import Analyzer
from retrieval.settings import LexicalSettings

# Scripts that do not mark words: each letter counts as one.
_LETTERS = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def content_words(text: str) -> frozenset[str]:
    """Stems of words by their script, English for Latin letters, without stop words."""
    return frozenset(_analyzer()(_LETTERS.sub(r" \g<0> ", text)))


@cache
def _analyzer() -> Analyzer:
    return Analyzer(LexicalSettings(keep_codes=False))
