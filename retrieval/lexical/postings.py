"""The postings of a shard, memory-mapped: which passages hold a term and how often. Exact BM25 from them.

The files are those of `postings_files`. tantivy finds candidates faster in a large shard, but approximates
their lengths and knows only one k1 and b. What is asked of a few passages, of a selection or of a damaged
index is answered here.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, read_header
from retrieval.lexical.bm25 import BM25, TermMatch
from retrieval.lexical.integer_files import map_array
from retrieval.lexical.postings_files import FILES, POSTINGS_HEADER, PostingsHeader
from retrieval.lexical.query import LexicalQuery

MOST_BLOCKS = 8192  # of passages, whose best scores stand for them while the k best are sought


class Postings:
    """Postings of one shard. Safe to use from several threads."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Map the files: milliseconds, whatever the size. Raises IndexDamaged where they do not fit."""
        header = read_header(folder / POSTINGS_HEADER, PostingsHeader)
        self._folder = folder
        arrays = {name: map_array(folder / file, getattr(header, name)) for name, file in FILES.items()}
        self.passages, self.tokens = header.passages, header.tokens
        self.hashes, self._ends = arrays["hashes"], arrays["ends"]
        self._rows, self._counts, self.lengths = arrays["rows"], arrays["counts"], arrays["lengths"]
        fits = len(self.hashes) == len(self._ends) and len(self._rows) == len(self._counts)
        if not fits or len(self.lengths) != self.passages:
            raise IndexDamaged(f"The files in {folder} do not belong together.", hint=DAMAGE_HINT)
        if self.passages != rows:
            raise IndexDamaged(f"{folder} holds {self.passages} passages, expected {rows}.", hint=DAMAGE_HINT)
        self._norms: tuple[BM25, np.ndarray] | None = None
        self._local = threading.local()

    @property
    def average_length(self) -> float:
        """Terms of a passage of this shard, on average."""
        return self.tokens / max(1, self.passages)

    def frequencies(self, hashes: np.ndarray) -> np.ndarray:
        """Passages of this shard that hold each term, int64 (t,)."""
        starts, ends = self._spans(hashes)
        return ends - starts

    def score_rows(self, query: LexicalQuery, rows: np.ndarray, bm25: BM25) -> np.ndarray:
        """Scores float32 (n,) of sorted rows int64 (n,); 0 where no term occurs."""
        scores = np.zeros(len(rows), np.float32)
        norms = bm25.length_norms(self.lengths[rows])
        for weight, places, counts in self._found(query, rows):
            scores[places] += bm25.contributions(weight, counts, norms[places])
        return scores

    def score_all(self, query: LexicalQuery, bm25: BM25) -> np.ndarray:
        """Scores float32 (passages,) of the whole shard; this thread's next call overwrites them."""
        scores = self._buffer()
        norms = self._length_norms(bm25)
        try:
            for weight, start, end in self._terms(query):
                rows = self._rows[start:end].astype(np.intp)
                added = bm25.contributions(weight, self._counts[start:end], norms.take(rows))
                added += scores.take(rows)
                scores[rows] = added
        except IndexError as error:
            raise self._damaged() from error
        return scores

    def matches(self, query: LexicalQuery, rows: np.ndarray, bm25: BM25) -> list[list[TermMatch]]:
        """For each row, in the given order, the query's terms that occur there."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        norms = bm25.length_norms(self.lengths[ordered])
        matched: list[list[TermMatch]] = [[] for _ in rows]
        for number, places, counts in self._found_terms(query, ordered):
            added = bm25.contributions(query.weights[number], counts, norms[places])
            for place, count, score in zip(places.tolist(), counts.tolist(), added.tolist(), strict=True):
                match = TermMatch(query.terms[number], float(query.idf[number]), count, score)
                matched[order[place]].append(match)
        return matched

    def close(self) -> None:
        """Let go of the mapped files."""
        empty = np.empty(0, np.uint64)
        self.hashes = self._ends = self._rows = self._counts = self.lengths = empty
        self._norms = None
        self._local = threading.local()

    def _terms(self, query: LexicalQuery) -> Iterator[tuple[np.float32, int, int]]:
        starts, ends = self._spans(query.hashes)
        for weight, start, end in zip(query.weights, starts.tolist(), ends.tolist(), strict=True):
            if end > start:
                yield weight, start, end

    def _found(
        self, query: LexicalQuery, rows: np.ndarray
    ) -> Iterator[tuple[np.float32, np.ndarray, np.ndarray]]:
        weights = query.weights
        for number, places, counts in self._found_terms(query, rows):
            yield weights[number], places, counts

    def _found_terms(
        self, query: LexicalQuery, rows: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """For each term: its number, the places in sorted `rows` where it occurs, and its counts there."""
        wanted = rows.astype(self._rows.dtype)
        starts, ends = self._spans(query.hashes)
        for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if end == start or not len(rows):
                continue
            own = self._rows[start:end]
            at = np.minimum(np.searchsorted(own, wanted), end - start - 1)
            places = np.flatnonzero(own[at] == wanted)
            if len(places):
                yield number, places, self._counts[start:end][at[places]]

    def _spans(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the postings of each term begin and end, int64 (t,); both 0 for a term that is not here."""
        if not len(self.hashes):
            return np.zeros(len(hashes), np.int64), np.zeros(len(hashes), np.int64)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        here = self.hashes[at] == hashes
        ends = np.where(here, self._ends[at], 0).astype(np.int64)
        starts = np.where(here & (at > 0), self._ends[np.maximum(at - 1, 0)], 0).astype(np.int64)
        if ((starts < 0) | (starts > ends) | (ends > len(self._rows))).any():
            raise self._damaged()
        return starts, ends

    def _length_norms(self, bm25: BM25) -> np.ndarray:
        if self._norms is None or self._norms[0] != bm25:
            self._norms = (bm25, bm25.length_norms(self.lengths))
        return self._norms[1]

    def _buffer(self) -> np.ndarray:
        """This thread's scores, all 0."""
        scores = getattr(self._local, "scores", None)
        if scores is None:
            scores = self._local.scores = np.zeros(self.passages, np.float32)
        else:
            scores.fill(0)
        return scores

    def _damaged(self) -> IndexDamaged:
        return IndexDamaged(f"{self._folder} has postings that do not fit together.", hint=DAMAGE_HINT)


def best_rows(scores: np.ndarray, k: int) -> np.ndarray:
    """Rows int64 of the k best positive scores float32 (n,), best first; equal scores by row.

    The best scores of blocks bound the k-th best from below, so that few scores have to be sorted.
    """
    blocks = min(MOST_BLOCKS, max(1, len(scores)))
    width = len(scores) // blocks
    floor = np.float32(0)
    if width > 1 and blocks > k:
        tops = scores[: blocks * width].reshape(blocks, width).max(axis=1)
        floor = np.partition(tops, blocks - k)[blocks - k]
    rows = np.flatnonzero(scores >= floor) if floor > 0 else np.flatnonzero(scores)
    if len(rows) > 4 * k:
        own = scores[rows]
        rows = rows[own >= np.partition(own, len(rows) - k)[len(rows) - k]]
    return rows[np.argsort(-scores[rows], kind="stable")][:k]
