"""Packs a text into passages that fill a budget, cut at the highest boundary near each one's end."""

from dataclasses import dataclass

from pipelines.chunking.boundaries import Boundary, first_start, skip_space, trim_end
from pipelines.chunking.budget import TextMeasure
from retrieval.text import cluster_end, cluster_start

# White space to Python, but control characters that BERT's tokenizer drops, joining the words beside them.
_JOINING_SPACE = frozenset("\x0b\x0c\x1c\x1d\x1e\x1f\x85")
_FIRST_MARK = "\u0300"  # below it only CR LF is more than a character: white space, which is trimmed


@dataclass(frozen=True)
class Budget:
    """Most units of a passage's own text, and how many it may share with the one before it."""

    units: int
    overlap: int
    boundary: Boundary  # -1 everywhere for passages of a fixed length
    snap_overlap: bool = True  # an overlap starts at a sentence or word, not at the exact unit


def pack(text: str, start: int, end: int, measure: TextMeasure, budget: Budget) -> list[tuple[int, int]]:
    """Spans of the passages of text[start:end]: ascending, trimmed, none empty.

    Every non-space character is in a passage, each passage has at least one character that those before
    it have not, and a passage that ends early does so at a boundary in the last half of what fits. None
    begins or ends inside a grapheme cluster: one that does not fit is a passage all the same.
    """
    spans: list[tuple[int, int]] = []
    at = fresh = skip_space(text, start, end)  # fresh: the first character that no passage has yet
    sure = sure_fresh = True  # the passage's units are those that `measure` counted in the whole text
    while at < end:
        least = fresh + 1
        if least < end and text[least] >= _FIRST_MARK:
            least = min(cluster_end(text, least, fresh), end)
        cut, sure_cut, fits = _cut(text, at, least, end, measure, budget, sure)
        if not fits and at < fresh:  # the overlap leaves no room for anything new
            at, sure = fresh, sure_fresh
            continue
        spans.append((at, trim_end(text, at, cut)))
        at = fresh = skip_space(text, cut, end)
        sure = sure_fresh = sure_cut
        if budget.overlap and fresh < end:
            at, sure = _overlap_start(text, spans[-1], fresh, measure, budget, sure)
    return spans


def _cut(
    text: str, at: int, least: int, end: int, measure: TextMeasure, budget: Budget, sure: bool
) -> tuple[int, bool, bool]:
    """Where the passage that starts at `at` ends, not before `least`; is the cut sure; does it fit.

    A cut inside a word changes the tokens beside it, so such a passage is measured by itself and made
    shorter until it fits.
    """
    units = budget.units
    while True:
        reach = min(measure.reach(at, units), end)
        hi = max(reach, least)
        if hi >= end:
            cut, sure_cut = end, True
        else:
            lo = max(at + (hi - at) // 2, least)
            cut = budget.boundary(text, lo, hi)
            if cut >= 0:
                sure_cut = text[cut] not in _JOINING_SPACE
            else:
                cut, sure_cut = measure.hard_cut(lo, hi)
            if text[cut] >= _FIRST_MARK or text[cut - 1] >= _FIRST_MARK:
                whole = max(cluster_start(text, cut, at), least)
                cut, sure_cut = whole, sure_cut and whole == cut
        if sure and sure_cut and reach >= least:
            return cut, True, True
        excess = measure.excess(at, cut, budget.units)
        if excess <= 0:
            return cut, sure_cut, True
        if cut <= least or units == 1:
            return cut, sure_cut, False
        units = max(units - excess, 1)


def _overlap_start(
    text: str, last: tuple[int, int], after: int, measure: TextMeasure, budget: Budget, sure: bool
) -> tuple[int, bool]:
    """Where the passage after `last` starts, at most `overlap` units before the end of `last`."""
    begin, end = last
    lo, sure_start = measure.back(end, budget.overlap)
    if lo <= begin:
        lo, sure_start = begin + 1, False
    if budget.snap_overlap:
        start = first_start(text, lo, end)
        if start > begin and cluster_start(text, start, begin) == start:
            return start, text[start - 1] not in _JOINING_SPACE
    start = skip_space(text, cluster_end(text, lo, begin), end)
    return (start, sure_start and start == lo) if start < end else (after, sure)
