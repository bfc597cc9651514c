"""Late interaction (ColBERT): MaxSim of token vectors, stored ones or those of passages encoded now."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.deadline import look
from retrieval.rerankers.reranker import Candidates, Reranker, RerankModels

if TYPE_CHECKING:
    import numpy as np

ENCODED_AT_ONCE = 256  # passages whose token vectors are held while candidates are encoded


def rank(found: Candidates) -> "np.ndarray":
    """See Rank."""
    import numpy as np

    tokens = found.tokens()
    stored = found.stored_scores(tokens)
    if stored is not None:
        return stored
    scores = np.full(found.ids.shape, -np.inf, np.float32)
    unique = np.unique(found.ids[found.ids >= 0])
    for first in range(0, len(unique), ENCODED_AT_ONCE):
        look()
        passages = found.passages(unique[first : first + ENCODED_AT_ONCE])
        if not passages:  # shards can be lost after the first stage
            continue
        chunk = np.array(sorted(passages), np.int64)
        there = np.isin(found.ids, chunk)
        wanted = [np.searchsorted(chunk, row[own]) for row, own in zip(found.ids, there, strict=True)]
        own_scores = found.models.maxsim(tokens, [passages[number] for number in chunk.tolist()], wanted)
        scores[there] = np.concatenate(own_scores)
    return scores


def score(models: RerankModels, query: str, passages: Sequence[Any]) -> "np.ndarray":
    """See Score."""
    import numpy as np

    return models.maxsim(models.encode_tokens([query]), passages, [np.arange(len(passages))])[0]


LATE_INTERACTION = Reranker(
    "late-interaction", "MaxSim of token vectors", rank, score, model="tokens", cost=1, compares_stored=True
)
