"""Columns of a page that was written across them, line by line, as some programs do.

A gutter is where several rows have a gap at one place that nothing crosses. Only where the pieces of text go
to and fro across it, and both sides read as prose and not as the cells of a table, is the order changed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_FEWEST_ROWS = 3
_LEAST_PROSE = 9.0  # width of a side over the height of its lines: cells of a table are shorter
_LEAST_GAP = 0.8  # of a gutter, over the height of the lines
_MOST_DEPTH = 8


class Piece(NamedTuple):
    """A run of text on a line: its box in points, from the lower left, and its place in the page's order."""

    left: float
    bottom: float
    right: float
    top: float
    place: int


Line = list[Piece]


def in_columns(pieces: Sequence[Piece]) -> list[Line] | None:
    """The lines of the page, those of a column together; None where it is not written across columns."""
    rows = _rows(pieces)
    lines = _ordered(rows, _MOST_DEPTH)
    return None if lines == rows else lines


def _rows(pieces: Sequence[Piece]) -> list[Line]:
    """Pieces of one height side by side, from the top down."""
    rows: list[Line] = []
    for piece in sorted(pieces, key=lambda p: (-(p.top + p.bottom), p.left)):
        middle = (piece.top + piece.bottom) / 2
        if rows and rows[-1][0].bottom < middle < rows[-1][0].top:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda p: p.left) for row in rows]


def _ordered(rows: list[Line], depth: int) -> list[Line]:
    gutter = _gutter(rows) if depth else None
    if gutter is None:
        return rows
    lines: list[Line] = []
    block: list[Line] = []
    for row in [*rows, None]:
        if row is not None and not any(p.left < gutter < p.right for p in row):
            block.append(row)
            continue
        lines += _split(block, gutter, depth)
        block = []
        if row is not None:
            lines.append(row)
    return lines


def _split(block: list[Line], gutter: float, depth: int) -> list[Line]:
    """The rows of a block without what crosses the gutter: left of it, then right of it."""
    left = [side for row in block if (side := [p for p in row if p.right <= gutter])]
    right = [side for row in block if (side := [p for p in row if p.left >= gutter])]
    both = [row for row in block if row[0].right <= gutter <= row[-1].left]
    prose = _is_prose(left) and _is_prose(right)
    if len(both) < _FEWEST_ROWS or not prose or _crossings(both, gutter) < len(both):
        return block
    return [*_ordered(left, depth - 1), *_ordered(right, depth - 1)]


def _crossings(rows: list[Line], gutter: float) -> int:
    """How often the page's order goes from one side of the gutter to the other."""
    sides = [p.left >= gutter for p in sorted((p for row in rows for p in row), key=lambda p: p.place)]
    return sum(a != b for a, b in pairwise(sides))


def _is_prose(side: list[Line]) -> bool:
    wide = sum((line[-1].right - line[0].left) / max(1.0, line[0].top - line[0].bottom) for line in side)
    return wide >= _LEAST_PROSE * len(side)


def _gutter(rows: list[Line]) -> float | None:
    """The place that lies in a gap of most rows with one; None where they have none in common."""
    gaps = [
        (a.right, b.left)
        for row in rows
        for a, b in pairwise(row)
        if b.left - a.right >= _LEAST_GAP * (a.top - a.bottom)
    ]
    if len(gaps) < _FEWEST_ROWS:
        return None
    ends = sorted([(left, 1) for left, _ in gaps] + [(right, -1) for _, right in gaps])
    best = depth = 0
    place = None
    for i, (x, step) in enumerate(ends[:-1]):
        depth += step
        if depth > best:
            best, place = depth, (x + ends[i + 1][0]) / 2
    return place if best >= max(_FEWEST_ROWS, len(gaps) // 3) else None
