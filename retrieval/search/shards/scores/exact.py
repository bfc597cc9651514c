"""Exact inner products of query vectors (q, d) with passages."""

import numpy as np

from retrieval.format import SearchParameters
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.shard_requests import ScoreRequest


def exact_scores(
    shard: Shard, asked: ScoreRequest, rows: np.ndarray, _parameters: SearchParameters
) -> np.ndarray:
    """See `registry.Score`."""
    return shard.dense.scores(np.asarray(asked.queries), rows)
