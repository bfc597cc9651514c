"""Why a passage was found: the terms and tokens that matched, exact beside quantized scores."""

import numpy as np

from retrieval.format import Manifest, Passage
from retrieval.search.protocols import QueryModels, Shards
from retrieval.search.result import Explanation, TermShare, TokenShare
from retrieval.search.stages import Trace


class Explainer:
    """Explains the hits of one batch; what all hits of a query share is computed once."""

    def __init__(
        self, group: Shards, models: QueryModels, manifest: Manifest, trace: Trace, ids: np.ndarray
    ) -> None:
        """ids: passages (q, n) int64 that will be explained, -1 for none."""
        self._group = group
        self._models = models
        self._manifest = manifest
        self._trace = trace
        self._ids = ids
        self._exact = self._quantized = None
        if trace.vectors is not None and "dense" in trace.lists and ids.size:
            self._exact = group.exact_scores(trace.vectors, ids)
            depth = trace.lists["dense"].width
            self._quantized = group.quantized_scores(trace.vectors, ids, depth)

    def explain(self, query: str, number: int, place: int, passage: Passage) -> Explanation:
        """The hit at `place` of query `number`."""
        found = int(self._ids[number, place])
        return Explanation(
            shard=self._manifest.shard_name(found),
            version=self._manifest.version,
            dense_exact=_finite(self._exact, number, place),
            dense_quantized=_finite(self._quantized, number, place),
            terms=self._terms(number, found),
            tokens=self._tokens(query, number, found, passage),
        )

    def _terms(self, number: int, found: int) -> list[TermShare]:
        if not self._trace.terms:
            return []
        matches = self._group.term_matches(self._trace.terms[number], found)
        return [TermShare(match.term, match.idf, match.count_in_passage, match.score) for match in matches]

    def _tokens(self, query: str, number: int, found: int, passage: Passage) -> list[TokenShare]:
        if not self._trace.tokens:
            return []
        vectors = self._trace.tokens[number]
        pairs = self._group.token_pairs(vectors, found)
        return self._models.token_shares(query, vectors, passage, pairs)


def _finite(scores: np.ndarray | None, number: int, place: int) -> float | None:
    value = None if scores is None else float(scores[number, place])
    return value if value is not None and np.isfinite(value) else None
