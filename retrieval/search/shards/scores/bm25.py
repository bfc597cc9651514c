"""Exact BM25 of queries with passages; 0 where no term occurs."""

import numpy as np

from retrieval.deadline import look
from retrieval.format import SearchParameters
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.shard_requests import ScoreRequest


def bm25_scores(
    shard: Shard, asked: ScoreRequest, rows: np.ndarray, _parameters: SearchParameters
) -> np.ndarray:
    """See `registry.Score`. A shard without a lexical index has no scores."""
    found = np.full(rows.shape, -np.inf, np.float32)
    if shard.lexical is None or shard.bm25 is None:
        return found
    for number in np.flatnonzero((rows >= 0).any(axis=1)).tolist():
        look()
        own = np.flatnonzero(rows[number] >= 0)
        found[number, own] = shard.lexical.scores(asked.queries[number], rows[number, own], shard.bm25)
    return found
