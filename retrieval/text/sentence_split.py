"""Sentences of a text by its punctuation and blank lines: linear in its length, for any script."""

import re
from collections.abc import Iterator

from retrieval.text.graphemes import cluster_end, cluster_start

# One character class first, so that the regex engine skips to candidates at the speed of a scan. No
# repetition is unbounded except over white space, so that "....." costs linear time.
SENTENCE_END = re.compile(
    r"""[.!?\u2026\u3002\uff01\uff1f\uff61\u0964\u061f\u06d4\n\u2029]
    (?: (?<=[\u3002\uff01\uff1f\uff61]) [\u201d\u2019\u300d\u300f\uff09]{0,3}  # CJK: no space follows
      | (?<=\u2029)
      | (?<=\n) [ \t\r]*\n                                                     # blank line
      | (?<=[.!?\u2026\u0964\u061f\u06d4])
        (?<!\b[A-Za-z]\.)                                # initials, e.g., i.e., U.S.
        (?<!\b(?:Mr|Ms|Dr|St|Mt|Lt|vs|cf)\.)
        (?<!\b(?:Mrs|Gen|Sen|Rep|Rev|Col|Sgt|Gov|Fig|fig)\.)(?<!\bProf\.)
        ["'\u201d\u2019\u00bb)\]]{0,4} (?=\s) (?!\s{1,4}[a-z])
    )""",
    re.VERBOSE,
)
_NONSPACE = re.compile(r"\S")


def skip_space(text: str, start: int, end: int) -> int:
    """The first non-space position in [start, end), or `end`; a space that carries a mark is none."""
    if start < end and not text[start].isspace():
        return start
    match = _NONSPACE.search(text, start, end)
    if match is None:
        return end
    at = match.start()
    return at if text[at] < "\u0300" else cluster_start(text, at, start)


def trim_end(text: str, start: int, end: int) -> int:
    """`end` moved back over white space, not below `start`."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Spans of the sentences of text[start:end], trimmed, ascending, none empty.

    A sentence ends at terminal punctuation that no lower-case letter follows, and at a blank line, and never
    inside a grapheme cluster. All non-space characters lie in exactly one span.
    """
    return list(each_sentence(text, start, end))


def each_sentence(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """`sentences`, one after another: a text may have millions."""
    stop = len(text) if end is None else end
    at = skip_space(text, start, stop)
    for match in SENTENCE_END.finditer(text, start, stop):
        if match.end() <= at:
            continue
        end = min(cluster_end(text, match.end(), at), stop)
        yield at, trim_end(text, at, end)
        at = skip_space(text, end, stop)
    if at < stop:
        yield at, trim_end(text, at, stop)
