"""The only place where text becomes terms: passages when an index is built, queries when it is searched.

A chain of tantivy's tokenizer and filters makes words; beside them whole codes are kept, such as
`np.linalg.lstsq`, `ERR-17` or `C++`, which a tokenizer takes apart.
"""

import string

import tantivy

from retrieval.settings import LexicalSettings

LONGEST_TERM = 128  # bytes of a word, characters of a code; longer ones are left out
# Languages that tantivy has a list of stop words for; the others have a stemmer only.
STOP_LISTS = frozenset(
    "danish dutch english finnish french german hungarian italian norwegian portuguese russian spanish "
    "swedish".split()
)

_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb\u201e\u201a"
_EDGE = string.punctuation + _QUOTES + "\u2026\u2013\u2014\u00b7\u2022\u00a1\u00bf"  # and … – — · • ¡ ¿
_TAIL = "".join(letter for letter in _EDGE if letter not in "+#")  # C++ and C# end in what others do not
_BREAKS = {ord(letter): " " for letter in _QUOTES + "()[]{}<>,;|"}  # never inside a code
_JOINTS = frozenset("!#$%&*+./:=?@\\^_~")


class Analyzer:
    """Turns text into terms in their order, each as often as it occurs. Never fails on any text."""

    def __init__(self, settings: LexicalSettings) -> None:
        language = None if settings.language == "none" else settings.language
        # Lower case first, as the lists of stop words are; they have accents, so these go after them.
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        builder = builder.filter(tantivy.Filter.remove_long(LONGEST_TERM + 1))
        builder = builder.filter(tantivy.Filter.lowercase())
        if isinstance(settings.stop_words, list):
            builder = builder.filter(
                tantivy.Filter.custom_stopword([word.lower() for word in settings.stop_words])
            )
        elif settings.stop_words and language in STOP_LISTS:
            builder = builder.filter(tantivy.Filter.stopword(language))
        if settings.fold_accents:
            builder = builder.filter(tantivy.Filter.ascii_fold())
        if settings.stemming and language:
            builder = builder.filter(tantivy.Filter.stemmer(language))
        self._words = builder.build()
        self._keep_codes = settings.keep_codes

    def __call__(self, text: str) -> list[str]:
        """Terms of a text: words, then codes. A lone surrogate counts as a question mark."""
        try:
            terms = self._words.analyze(text)
        except UnicodeEncodeError:
            text = text.encode("utf-8", "replace").decode("utf-8")
            terms = self._words.analyze(text)
        return terms + codes(text) if self._keep_codes else terms


def codes(text: str) -> list[str]:
    """What a tokenizer would take apart though it is one name: lower-cased, not stemmed.

    A code is what stands between white space, quotes, brackets and commas, without punctuation around
    it, if punctuation joins its pieces. A hyphen joins a code only where there is a digit (ERR-17): the
    hyphens of prose do not make names.
    """
    found = []
    for chunk in text.split():
        if chunk.isalpha():
            continue
        core = chunk.lstrip(_EDGE).rstrip(_TAIL)
        if not core or core.isalnum():
            continue
        for piece in core.translate(_BREAKS).split():
            code = piece.lstrip(_EDGE).rstrip(_TAIL)
            if 1 < len(code) <= LONGEST_TERM and _is_code(code):
                found.append(code.lower())
    return found


def _is_code(code: str) -> bool:
    if not _JOINTS.isdisjoint(code):
        return True
    return "-" in code and any(letter.isdigit() for letter in code)
