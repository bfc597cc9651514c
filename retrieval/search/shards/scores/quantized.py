"""What the codes alone say of passages, where a shortlist of the query vectors (q, d) has them."""

import numpy as np

from retrieval.format import SearchParameters
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.shard_requests import ScoreRequest


def quantized_scores(
    shard: Shard, asked: ScoreRequest, rows: np.ndarray, parameters: SearchParameters
) -> np.ndarray:
    """See `registry.Score`. The shortlist is that of a search for `asked.depth` results."""
    found = np.full(rows.shape, -np.inf, np.float32)
    listed = shard.dense.shortlist(np.asarray(asked.queries), 1, parameters.for_depth(asked.depth))
    if listed.exact:  # nothing was looked up by codes
        return found
    for number, own in enumerate(rows):
        hit, place = np.nonzero((own[:, None] == listed.rows[number][None, :]) & (own[:, None] >= 0))
        found[number, hit] = listed.scores[number, place]
    return found
