"""A shard of the lexical index: opened over its folder, searched with exact BM25 of the whole index."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from retrieval.deadline import handed, look
from retrieval.errors import IndexDamaged
from retrieval.lexical.bm25 import BM25, TermMatch
from retrieval.lexical.candidates import Candidates, error_bound
from retrieval.lexical.postings import Postings, best_rows
from retrieval.lexical.query import LexicalQuery

# Postings of a query in a shard up to which scoring them all is faster than asking tantivy for candidates.
SCAN_POSTINGS = 250_000
EXTRA = 50  # candidates beyond 2 k
LOOKUP_COST = 8  # a binary search of a row among a term's postings, against scoring one of them


class LexicalShard:
    """Search in one shard. Rows count from 0 in the shard. Safe to use from several threads."""

    def __init__(self, postings: Postings, candidates: Candidates) -> None:
        self.postings = postings
        self.candidates = candidates
        self._longest = int(postings.lengths.max(initial=0))

    @classmethod
    def open(cls, folder: Path, rows: int) -> "LexicalShard":
        """Map a shard's files. Raises IndexDamaged where they are not whole or hold other passages."""
        return cls(Postings(folder, rows), Candidates(folder, rows))

    def __len__(self) -> int:
        return self.postings.passages

    def search(
        self,
        queries: Sequence[LexicalQuery],
        k: int,
        bm25: BM25,
        *,
        selection: np.ndarray | None = None,
        scan_postings: int = SCAN_POSTINGS,
        threads: int = 1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each query: (scores float32, rows int64), both (q, k).

        The result is that of scoring every passage. selection: sorted, unique int64 rows to search in.
        Missing results are row -1 with score -inf; equal scores are ordered by row. scan_postings:
        from how many on tantivy is asked for candidates first. threads: so many queries at a time.
        """
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)

        def one(number: int) -> None:
            look()
            own_scores, own_rows = self._one(queries[number], k, bm25, selection, scan_postings)
            scores[number, : len(own_rows)], rows[number, : len(own_rows)] = own_scores, own_rows

        threads = min(threads, len(queries))
        if threads <= 1:
            for number in range(len(queries)):
                one(number)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(handed(one), range(len(queries))))
        return scores, rows

    def matches(self, query: LexicalQuery, rows: np.ndarray, bm25: BM25) -> list[list[TermMatch]]:
        """For each row int64 (n,), in order, the query's terms that occur there, with what they add."""
        return self.postings.matches(query, np.asarray(rows, np.int64), bm25)

    def scores(self, query: LexicalQuery, rows: np.ndarray, bm25: BM25) -> np.ndarray:
        """Exact scores float32 (n,) of rows int64 (n,), each once; 0 where no term occurs."""
        rows = np.asarray(rows, np.int64)
        order = np.argsort(rows)
        found = np.empty(len(rows), np.float32)
        found[order] = self.postings.score_rows(query, rows[order], bm25)
        return found

    def close(self) -> None:
        """Let go of the mapped files."""
        self.postings.close()
        self.candidates.close()

    def _one(
        self, query: LexicalQuery, k: int, bm25: BM25, selection: np.ndarray | None, scan_postings: int
    ) -> tuple[np.ndarray, np.ndarray]:
        frequencies = self.postings.frequencies(query.hashes)
        postings = int(frequencies.sum())
        if not postings:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        if selection is not None:
            return self._selected(query, k, bm25, selection, frequencies)
        if postings > scan_postings and not query.only_stop_words:  # tantivy has no stop words
            proven = self._by_candidates(query, k, bm25, frequencies)
            if proven is not None:
                return proven
        scores = self.postings.score_all(query, bm25)
        rows = best_rows(scores, k)
        return scores[rows], rows

    def _by_candidates(
        self, query: LexicalQuery, k: int, bm25: BM25, frequencies: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The k best among tantivy's candidates, where no other passage can be among them; else None."""
        found = self.candidates.search(query, frequencies, 2 * k + EXTRA)
        scores = self.postings.score_rows(query, found.rows, bm25)
        best = best_rows(scores, k)
        if found.rest:
            bound = found.rest * error_bound(bm25, self.postings.average_length, self._longest)
            if len(best) < k or scores[best[-1]] <= bound:
                return None
        return scores[best], found.rows[best]

    def _selected(
        self, query: LexicalQuery, k: int, bm25: BM25, selection: np.ndarray, frequencies: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best of the selected rows, by looking each up or by scoring the shard: what is cheaper."""
        if len(selection) and not (selection[0] >= 0 and selection[-1] < len(self)):
            raise IndexDamaged(f"A selection has rows that the shard of {len(self)} passages does not have.")
        lookups = LOOKUP_COST * len(selection) * np.count_nonzero(frequencies)
        if lookups < frequencies.sum():
            scores = self.postings.score_rows(query, selection, bm25)
        else:
            scores = self.postings.score_all(query, bm25)[selection]
        best = best_rows(scores, k)
        return scores[best], selection[best]
