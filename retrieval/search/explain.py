"""Why a passage was found: the terms and tokens that matched, exact beside quantized scores."""

import numpy as np

from retrieval.late_interaction import best_pairs
from retrieval.passages import Passage
from retrieval.search.group import ShardGroup
from retrieval.search.models import Models
from retrieval.search.pipeline import Trace
from retrieval.search.result import Explanation, TermShare, TokenShare


class Explainer:
    """Explains the hits of one batch; what all hits of a query share is computed once."""

    def __init__(
        self, group: ShardGroup, models: Models, version: int, trace: Trace, ids: np.ndarray
    ) -> None:
        """ids: passages (q, n) int64 that will be explained, -1 for none."""
        self._group = group
        self._models = models
        self._version = version
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
        shard = self._group.shard_of(found)
        return Explanation(
            shard=shard.name if shard else "",
            version=self._version,
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
        """For every query token the passage token with the largest inner product."""
        if not self._trace.tokens:
            return []
        encoder = self._models.tokens
        vectors = self._trace.tokens[number]
        pairs = self._group.token_pairs(vectors, found)
        if pairs is None:
            pairs = best_pairs(vectors, encoder.encode_passages([passage.title], [passage.text]))
        words = encoder.passage_tokens(passage.title, passage.text)
        shares = []
        for token, best, score in zip(
            encoder.query_tokens(query), *(part.tolist() for part in pairs), strict=True
        ):
            word = words[best]
            shares.append(TokenShare(token, word.text, word.start, word.end, score))
        return shares


def _finite(scores: np.ndarray | None, number: int, place: int) -> float | None:
    value = None if scores is None else float(scores[number, place])
    return value if value is not None and np.isfinite(value) else None
