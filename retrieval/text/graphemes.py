"""What a reader sees as one character: extended grapheme clusters (Unicode Standard Annex 29), by `regex`.

Flags, keycaps and families, letters with their marks, Thai and Indic vowel signs, jamo, CR LF. A cluster of
more than `MOST` code points, which nobody reads, may be cut after every one beyond them.
"""

import re

import regex

MOST = 128  # code points of a cluster
_LOOK_BACK = 4 * MOST  # for a place that is surely between two clusters
_CLUSTER = regex.compile(r"\X")
_LAST_FLAGS = regex.compile(r"(?r)\p{Regional_Indicator}+")
# Letters and punctuation that join nothing of their like.
_PLAIN = (
    "\\x00-\u02ff\u0370-\u0482\u048a-\u0590\u05d0-\u05ea\u0620-\u064a\u2010-\u2027\u3001-\u3029\u3041-\u3096"
    "\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff01-\uff9d"
)
_APART = re.compile(f"[{_PLAIN}]{{2}}")
_LAST_APART = regex.compile(f"(?r)[{_PLAIN}]{{2}}")


def cluster_start(text: str, at: int, floor: int = 0) -> int:
    """`at`, or where the cluster begins that it lies in. `floor`: a place that is not inside one."""
    if at <= floor or at >= len(text):
        return at
    before, after = text[at - 1], text[at]
    if before < "\u0300" and after < "\u0300":
        return at - 1 if before == "\r" and after == "\n" else at
    if _APART.match(text, at - 1):
        return at
    if "\U0001f1e6" <= after <= "\U0001f1ff" and (letters := _LAST_FLAGS.match(text, floor, at)):
        # Letters of flags go in pairs, from the first one on; that pair may have something in front.
        if (at - letters.start()) % 2 == 0:
            return at
        if at - letters.start() > 1:
            return at - 1
    start = max(floor, at - _LOOK_BACK)
    if (apart := _LAST_APART.search(text, start, at)) and apart.group() != "\r\n":
        start = apart.start() + 1
    found = start
    # Of a slice: `regex` would read all that stands before it, again and again.
    for cluster in _CLUSTER.finditer(text[start : at + 1]):
        if start + cluster.end() > at:
            found = start + cluster.start()
    return at if at - found > MOST else found


def cluster_end(text: str, at: int, floor: int = 0) -> int:
    """`at`, or where the cluster ends that it lies in."""
    start = cluster_start(text, at, floor)
    if start == at:
        return at
    cluster = _CLUSTER.match(text[start : start + MOST])
    return max(at, start + cluster.end()) if cluster else at


def whole_clusters(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of the clusters that text[start:end] has a part of."""
    return cluster_start(text, start), cluster_end(text, end)
