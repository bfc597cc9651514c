"""Some shards of an index searched together: what one process holds, all of them on a laptop.

Arguments and results are plain data (arrays, texts, settings), so that a group can be a process of its own.
Passage ids that lie in other groups are ignored.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from retrieval.deadline import look
from retrieval.dense import Quantizer
from retrieval.filters import Filter
from retrieval.format import Passage, SearchParameters, exact_search
from retrieval.lexical import BM25, LexicalQuery, TermMatch
from retrieval.search.index_shard import Shard
from retrieval.search.ranking import Ranking, merge_rankings

FILTERS_KEPT = 8  # selections of recent filters; each takes 8 bytes a selected row

Selection = dict[str, np.ndarray | None]  # selected rows by shard, None: all of them


class ShardGroup:
    """Open shards that share one quantizer. Safe to use from several threads."""

    def __init__(
        self, shards: Sequence[Shard], quantizer: Quantizer, parameters: SearchParameters, bm25: BM25 | None,
        threads: int = 1,
    ):  # fmt: skip
        """`threads`: of a lexical search over several queries."""
        self.shards = list(shards)
        self.rows = sum(shard.rows for shard in shards)
        self._quantizer = quantizer
        self.parameters = parameters
        self._bm25 = bm25
        self._threads = threads
        self._bases = np.array([shard.base for shard in shards], np.int64)
        self._selections: OrderedDict[Filter, Selection] = OrderedDict()
        self._lock = Lock()

    missing: tuple[str, ...] = ()  # what is open answers

    @property
    def has_tokens(self) -> bool:
        """Whether token vectors are stored with the shards."""
        return all(shard.tokens is not None for shard in self.shards)

    def close(self) -> None:
        """Unmap all files."""
        for shard in self.shards:
            shard.close()

    def select(self, filter: Filter) -> Selection:
        """Rows that a filter keeps, by shard. Recent ones are remembered. Raises IndexDamaged."""
        with self._lock:
            if filter in self._selections:
                self._selections.move_to_end(filter)
                return self._selections[filter]
        found: Selection = {}
        for shard in self.shards:
            rows = filter.select(shard.passages)
            found[shard.name] = None if len(rows) == shard.rows else rows
        with self._lock:
            self._selections[filter] = found
            while len(self._selections) > FILTERS_KEPT:
                self._selections.popitem(last=False)
        return found

    def selected(self, filter: Filter | None) -> int:
        """How many passages a filter keeps."""
        if filter is None:
            return self.rows
        chosen = self.select(filter)
        return sum(shard.rows if (rows := chosen[shard.name]) is None else len(rows) for shard in self.shards)

    def dense(
        self, vectors: np.ndarray, n: int, *, filter: Filter | None = None, exact: bool = False
    ) -> Ranking:
        """The n nearest passages of query vectors (q, d) float32 by inner product, exactly scored.

        exact: score every vector instead of searching the index.
        """
        chosen = self.select(filter) if filter is not None else {}
        parameters, assigned = self.parameters, None
        if not exact:
            share = 1.0 if filter is None else self.selected(filter) / max(1, self.rows)
            parameters = self._quantizer.deepened(self.parameters, n, share)
            assigned = self._quantizer.assign(vectors, parameters)
        found = [Ranking.none(len(vectors))]
        for shard in self.shards:
            selection = chosen.get(shard.name)
            if selection is None or len(selection):
                found.append(self._dense_in(shard, vectors, n, selection, parameters, assigned, exact))
        return merge_rankings(found, n)

    def _dense_in(
        self, shard: Shard, vectors: np.ndarray, n: int, selection: np.ndarray | None,
        parameters: SearchParameters, assigned: Any, exact: bool,
    ) -> Ranking:  # fmt: skip
        width = min(n, shard.rows)
        if exact:
            scores, rows = exact_search(vectors, shard.vectors, width, rows=selection)
            return _global(shard, scores, rows)
        scores, rows = shard.dense.search(
            vectors, width, parameters=parameters, assigned=assigned, selection=selection
        )
        # The lists or the part of the graph that were visited may hold too few selected rows.
        wanted = min(width, shard.rows if selection is None else len(selection))
        short = np.flatnonzero((rows >= 0).sum(axis=1) < wanted)
        if len(short) and selection is not None:
            scores[short], rows[short] = exact_search(vectors[short], shard.vectors, width, rows=selection)
        return _global(shard, scores, rows)

    def lexical(self, queries: Sequence[LexicalQuery], n: int, *, filter: Filter | None = None) -> Ranking:
        """The n passages with the highest BM25 of each query; statistics are those of the whole index."""
        chosen = self.select(filter) if filter is not None else {}
        found = [Ranking.none(len(queries))]
        for shard in self.shards:
            selection = chosen.get(shard.name)
            if shard.lexical is None or self._bm25 is None or (selection is not None and not len(selection)):
                continue
            scores, rows = shard.lexical.search(
                queries, min(n, shard.rows), self._bm25, selection=selection, threads=self._threads
            )
            found.append(_global(shard, scores, rows))
        return merge_rankings(found, n)

    def passages(self, ids: np.ndarray) -> dict[int, Passage]:
        """Passages by id. Raises IndexDamaged."""
        found: dict[int, Passage] = {}
        for shard, own, rows in self._by_shard(np.unique(ids[ids >= 0])):
            found |= zip(own.tolist(), shard.passages.get(rows), strict=True)
        return found

    def find(self, passage_id: str) -> Passage | None:
        """The passage with this key, `doc_id#n`. Raises IndexDamaged."""
        found = (shard.passages.find(passage_id) for shard in self.shards)
        return next((passage for passage in found if passage is not None), None)

    def doc_ids(self, ids: np.ndarray) -> dict[int, str]:
        """Document ids by passage id: cheaper than whole passages. Raises IndexDamaged."""
        found: dict[int, str] = {}
        for shard, own, rows in self._by_shard(np.unique(ids[ids >= 0])):
            found |= zip(own.tolist(), shard.passages.doc_ids(rows), strict=True)
        return found

    def _shard_of(self, passage: int) -> Shard | None:
        """The shard that holds a passage."""
        place = int(np.searchsorted(self._bases, passage, side="right")) - 1
        shard = self.shards[place] if place >= 0 else None
        return shard if shard is not None and passage < shard.base + shard.rows else None

    def token_scores(self, queries: Sequence[np.ndarray], ids: np.ndarray) -> np.ndarray:
        """MaxSim of queries' token vectors (t, d) with the stored codes of passages (q, n): float32 (q, n).

        Passages of other groups score -inf.
        """
        scores = np.full(ids.shape, -np.inf, np.float32)
        for shard in self.shards:
            rows = shard.local(ids)
            for number in np.flatnonzero((rows >= 0).any(axis=1)).tolist():
                look()
                own = np.flatnonzero(rows[number] >= 0)
                if shard.tokens is not None:
                    scores[number, own] = shard.tokens.scores(queries[number], rows[number, own])
        return scores

    def exact_scores(self, vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Exact inner products of queries (q, d) with passages (q, n): float32, -inf for other groups'."""
        parts = [shard.vectors.scores(vectors, shard.local(ids)) for shard in self.shards]
        return np.max(np.stack(parts), axis=0)

    def quantized_scores(self, vectors: np.ndarray, ids: np.ndarray, depth: int) -> np.ndarray:
        """Scores of the codes alone, float32 (q, n); NaN for passages that no shortlist had.

        depth: results that the search was asked for.
        """
        found = np.full(ids.shape, np.nan, np.float32)
        for shard in self.shards:
            look()
            listed, rows = shard.dense.shortlist(vectors, self.parameters.for_depth(depth))
            own = shard.local(ids)
            for number in range(len(vectors)):
                same = (own[number][:, None] == rows[number][None, :]) & (own[number][:, None] >= 0)
                hit, place = np.nonzero(same)
                found[number, hit] = listed[number, place]
        return found

    def term_matches(self, query: LexicalQuery, passage: int) -> list[TermMatch]:
        """Terms of the query in a passage."""
        shard = self._shard_of(passage)
        if shard is None or shard.lexical is None or self._bm25 is None:
            return []
        return shard.lexical.matches(query, np.array([passage - shard.base]), self._bm25)[0]

    def token_pairs(self, query: np.ndarray, passage: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The stored passage token that each query token (t, d) matched best, int64 (t,), and scores (t,)."""
        shard = self._shard_of(passage)
        return (
            None if shard is None or shard.tokens is None else shard.tokens.pairs(query, passage - shard.base)
        )

    def _by_shard(self, ids: np.ndarray) -> list[tuple[Shard, np.ndarray, np.ndarray]]:
        found = []
        for shard in self.shards:
            own = ids[(ids >= shard.base) & (ids < shard.base + shard.rows)]
            if len(own):
                found.append((shard, own, own - shard.base))
        return found


def _global(shard: Shard, scores: np.ndarray, rows: np.ndarray) -> Ranking:
    return Ranking(scores, np.where(rows >= 0, rows + shard.base, -1))
