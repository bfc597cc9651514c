"""Scores by kind. A new one is a function here: whoever asks shards by its name gets it from all of them."""

from collections.abc import Callable

import numpy as np

from retrieval.errors import ConfigError
from retrieval.format import SearchParameters
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.scores.bm25 import bm25_scores
from retrieval.search.shards.scores.exact import exact_scores
from retrieval.search.shards.scores.quantized import quantized_scores
from retrieval.search.shards.scores.token_codes import token_scores
from retrieval.search.shards.shard_requests import ScoreRequest

# Of one shard, for its rows (q, n) int64, -1 for passages of others: float32 (q, n), -inf where it has none.
# The parameters are those that the version is searched with.
Score = Callable[[Shard, ScoreRequest, np.ndarray, SearchParameters], np.ndarray]
SCORES: dict[str, Score] = {
    "bm25": bm25_scores, "exact": exact_scores, "quantized": quantized_scores, "token_codes": token_scores,
}  # fmt: skip


def score_of(kind: str) -> Score:
    """Raises ConfigError where there is no such kind."""
    if kind not in SCORES:
        raise ConfigError(f"there is no score {kind!r}; it is one of {', '.join(SCORES)}")
    return SCORES[kind]
