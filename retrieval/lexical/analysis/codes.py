"""Codes: what a tokenizer would take apart though it is one name, such as `np.linalg.lstsq` or `ERR-17`."""

import re
import string
from collections.abc import Iterator

import regex

from retrieval.lexical.analysis.scripts import SPACELESS
from retrieval.text import folded

LONGEST_CODE = 128  # characters; longer ones are left out

_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb\u201e\u201a"
_EDGE = string.punctuation + _QUOTES + "\u2026\u2013\u2014\u00b7\u2022\u00a1\u00bf"  # and … – — · • ¡ ¿
_TAIL = "".join(letter for letter in _EDGE if letter not in "+#")  # C++ and C# end in what others do not
_BREAKS = {ord(letter): " " for letter in _QUOTES + "()[]{}<>,;|"}  # never inside a code
_JOINTS = frozenset("!#$%&*+./:=?@\\^_~")
# Every code matches, and few other chunks: a joint that something follows, or a sign that may end one.
_MAY_BE_ONE = re.compile(r"[!$%&*./:=?@\\^_~].|[+#]|-.*\d|\d.*-|[^\x00-\x7f\u2012-\u201f\u2026]")
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2212", "-"))
# Beyond ASCII: scripts without spaces, signs that say nothing of a name, brackets, halves of characters.
_FOREIGN = regex.compile(
    rf"[{SPACELESS}\p{{Ps}}\p{{Pe}}\p{{Pi}}\p{{Pf}}\u2026\u2122\u2120\u00ae\u00a9\u2117\u3001\u3002\u30fb\p{{Cs}}]+"
)


def codes(text: str) -> list[str]:
    """The codes of a text in their order: folded, not stemmed.

    A code is what stands between white space, quotes, brackets and commas, without punctuation around
    it, if punctuation joins its pieces. A hyphen joins a code only where there is a digit (ERR-17): the
    hyphens of prose do not make names.
    """
    may_be_one = _MAY_BE_ONE.search
    return [
        code
        for chunk in text.split()
        # Most chunks are words, or words before a comma.
        if not (chunk.isalpha() or (chunk[:-1].isalpha() and chunk[-1] not in "+#")) and may_be_one(chunk)
        for code in _codes_of(chunk)
    ]


def _codes_of(chunk: str) -> Iterator[str]:
    core = chunk.lstrip(_EDGE).rstrip(_TAIL)
    if not core or core.isalnum():
        return
    if not core.isascii():
        core = folded(_FOREIGN.sub(" ", core)).translate(_HYPHENS)
    for piece in core.translate(_BREAKS).split():
        code = piece.lstrip(_EDGE).rstrip(_TAIL)
        if 1 < len(code) <= LONGEST_CODE and _is_code(code):
            yield code.lower()


def _is_code(code: str) -> bool:
    if not _JOINTS.isdisjoint(code):
        return True
    return "-" in code and any(letter.isdigit() for letter in code)
