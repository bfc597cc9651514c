"""The cross-encoder reads query and passage together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.rerankers.reranker import Candidates, Reranker, RerankModels

if TYPE_CHECKING:
    import numpy as np


def rank(found: Candidates) -> "np.ndarray":
    """See Rank."""
    import numpy as np

    passages = found.passages(found.ids)
    pairs = [
        (query, full_text(passages[number]))
        for query, row in zip(found.queries, found.ids.tolist(), strict=True)
        for number in row
        if number in passages
    ]
    scores = np.full(found.ids.shape, -np.inf, np.float32)
    if pairs:
        scores[np.isin(found.ids, list(passages))] = found.models.cross_scores(pairs)
    return scores


def score(models: RerankModels, query: str, passages: Sequence[Any]) -> "np.ndarray":
    """See Score."""
    return models.cross_scores([(query, full_text(passage)) for passage in passages])


def full_text(passage: Any) -> str:
    """A passage as the model sees it: its document's title in front."""
    return f"{passage.title} {passage.text}" if passage.title else passage.text


CROSS_ENCODER = Reranker(
    "cross-encoder", "a model reads query and passage together", rank, score, model="cross_encoder", cost=10,
    optional=True,
)  # fmt: skip
