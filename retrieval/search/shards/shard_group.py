"""Some shards of an index searched together: what one process holds, all of them on a laptop."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np

from retrieval.deadline import look
from retrieval.dense import Quantizer
from retrieval.filters import Filter
from retrieval.format import PASSAGE_FIELDS, Passage, SearchParameters, exact_search
from retrieval.search.ranking import Ranking
from retrieval.search.shards.combining import highest, merge_rankings
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.scores import score_of
from retrieval.search.shards.shard_requests import (
    DenseSearch,
    ExplainRequest,
    LexicalSearch,
    Matches,
    ScoreRequest,
    Shortlisted,
)

FILTERS_KEPT = 8  # selections of recent filters; each takes 8 bytes a selected row

Selection = dict[str, np.ndarray | None]  # selected rows by shard, None: all of them


class ShardGroup:
    """Open shards that share one quantizer. Safe to use from several threads."""

    def __init__(
        self, shards: Sequence[Shard], quantizer: Quantizer, parameters: SearchParameters,
        threads: int = 1,
    ):  # fmt: skip
        """`threads`: of a lexical search over several queries."""
        self.shards = list(shards)
        self.rows = sum(shard.rows for shard in shards)
        self._quantizer = quantizer
        self.parameters = parameters
        self._threads = threads
        self._selections: OrderedDict[Filter, Selection] = OrderedDict()
        self._lock = Lock()

    missing: tuple[str, ...] = ()  # what is open answers

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

    def count(self, filter: Filter) -> int:
        """See Shards."""
        chosen = self.select(filter)
        return sum(shard.rows if (rows := chosen[shard.name]) is None else len(rows) for shard in self.shards)

    def search(self, asked: DenseSearch | LexicalSearch) -> Ranking:
        """See Shards."""
        if isinstance(asked, DenseSearch):
            found = self.shortlist(asked)
            ids = np.sort(found.listed.ids, axis=1)  # neighbours in a file are read together
            rescored = Ranking(self._score(ScoreRequest("exact", asked.vectors, ids)), ids)
            return merge_rankings(len(asked.vectors), [found.known, rescored], asked.n)
        chosen = self.select(asked.filter) if asked.filter is not None else {}
        return merge_rankings(len(asked.queries), self._lexical(asked, chosen), asked.n)

    def shortlist(self, asked: DenseSearch) -> Shortlisted:
        """See Shards."""
        chosen = self.select(asked.filter) if asked.filter is not None else {}
        parameters, assigned = self.parameters, None
        if not asked.exact:
            share = 1.0 if asked.filter is None else self.count(asked.filter) / max(1, self.rows)
            parameters = self._quantizer.deepened(self.parameters, asked.n, share)
            assigned = self._quantizer.assign(asked.vectors, parameters)
        known, listed = list[Ranking](), list[Ranking]()
        for shard in self.shards:
            selection = chosen.get(shard.name)
            if selection is None or len(selection):
                for exact, ranking in self._dense_in(shard, asked, selection, parameters, assigned):
                    (known if exact else listed).append(ranking)
        queries, width = len(asked.vectors), max(asked.n, parameters.shortlist)
        return Shortlisted(
            merge_rankings(queries, known, asked.n), merge_rankings(queries, listed, width if listed else 0)
        )

    def _dense_in(
        self, shard: Shard, asked: DenseSearch, selection: np.ndarray | None, parameters: SearchParameters,
        assigned: Any,
    ) -> Iterator[tuple[bool, Ranking]]:  # fmt: skip
        """Rankings of a shard, and whether their scores are exact."""
        vectors, width = asked.vectors, min(asked.n, shard.rows)
        if asked.exact:
            yield True, _global(shard, *exact_search(vectors, shard.vectors, width, rows=selection))
            return
        found = shard.dense.shortlist(vectors, width, parameters, assigned, selection)
        rows = found.rows
        # The lists or the part of the graph that were visited may hold too few selected rows.
        wanted = min(width, shard.rows if selection is None else len(selection))
        short = np.flatnonzero((rows >= 0).sum(axis=1) < wanted)
        if len(short) and selection is not None and not found.exact:
            scores = np.full((len(vectors), width), -np.inf, np.float32)
            own = np.full((len(vectors), width), -1, np.int64)
            scores[short], own[short] = exact_search(vectors[short], shard.vectors, width, rows=selection)
            yield True, _global(shard, scores, own)
            rows = rows.copy()
            rows[short] = -1
        yield found.exact, _global(shard, np.where(rows >= 0, found.scores, -np.inf), rows)

    def _lexical(self, asked: LexicalSearch, chosen: Selection) -> list[Ranking]:
        found: list[Ranking] = []
        for shard in self.shards:
            selection = chosen.get(shard.name)
            if shard.lexical is None or shard.bm25 is None or (selection is not None and not len(selection)):
                continue
            scores, rows = shard.lexical.search(
                asked.queries, min(asked.n, shard.rows), shard.bm25, selection=selection,
                threads=self._threads,
            )  # fmt: skip
            found.append(_global(shard, scores, rows))
        return found

    def fetch(self, ids: np.ndarray, columns: Sequence[str] = PASSAGE_FIELDS) -> dict[int, dict[str, Any]]:
        """See Shards."""
        found: dict[int, dict[str, Any]] = {}
        wanted = np.unique(ids[ids >= 0])
        for shard in self.shards:
            own = wanted[shard.local(wanted) >= 0]
            if len(own):
                found |= zip(own.tolist(), shard.passages.values(own - shard.base, columns), strict=True)
        return found

    def find(self, passage_id: str) -> Passage | None:
        """See Shards."""
        found = (shard.passages.find(passage_id) for shard in self.shards)
        return next((passage for passage in found if passage is not None), None)

    def score(self, asked: Sequence[ScoreRequest]) -> list[np.ndarray]:
        """See Shards. Raises ConfigError where there is no such kind of score."""
        return [self._score(one) for one in asked]

    def _score(self, asked: ScoreRequest) -> np.ndarray:
        score, found = score_of(asked.kind), []
        for shard in self.shards:
            look()
            rows = shard.local(asked.ids)
            if (rows >= 0).any():
                found.append(score(shard, asked, rows, self.parameters))
        return highest(asked.ids.shape, found)

    def explain(self, asked: ExplainRequest) -> Matches:
        """See Shards."""
        found = Matches({one.kind: self._score(one) for one in asked.scores})
        for shard in self.shards:
            rows = shard.local(asked.ids)
            for number in np.flatnonzero((rows >= 0).any(axis=1)).tolist():
                look()
                places = np.flatnonzero(rows[number] >= 0)
                own, keys = rows[number, places], [(number, place) for place in places.tolist()]
                if asked.terms and shard.lexical is not None and shard.bm25 is not None:
                    terms = shard.lexical.matches(asked.terms[number], own, shard.bm25)
                    found.terms.update(zip(keys, terms, strict=True))
                if asked.tokens and shard.tokens is not None:
                    for key, row in zip(keys, own.tolist(), strict=True):
                        look()
                        found.pairs[key] = shard.tokens.pairs(asked.tokens[number], row)
        return found


def _global(shard: Shard, scores: np.ndarray, rows: np.ndarray) -> Ranking:
    return Ranking(scores, np.where(rows >= 0, rows + shard.base, -1))
