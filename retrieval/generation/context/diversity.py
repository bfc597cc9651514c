"""Order by difference: maximal marginal relevance (Carbonell and Goldstein, 1998) over words."""

import re
from collections.abc import Sequence

from retrieval.deadline import look
from retrieval.results import Hit

_WORD = re.compile(r"[^\W_]+")


def diversified(hits: Sequence[Hit], diversity: float) -> list[Hit]:
    """Each time the hit with the largest `(1 - diversity) * relevance - diversity * similarity`.

    relevance: the score, from 0 for the lowest to 1 for the highest. similarity: with the most similar hit
    before it, words that both have over words that either has. Of equals, the better rank.
    """
    if not diversity or len(hits) < 3:
        return list(hits)
    scores = [hit.score for hit in hits]
    low, spread = min(scores), (max(scores) - min(scores)) or 1.0
    words = [frozenset(_WORD.findall(hit.text.casefold())) for hit in hits]
    similar = [0.0] * len(hits)
    left, order = list(range(len(hits))), list[int]()

    def gain(place: int) -> float:
        return (1 - diversity) * (scores[place] - low) / spread - diversity * similar[place]

    while left:
        look()
        best = max(left, key=gain)  # the first of equals
        left.remove(best)
        order.append(best)
        for place in left:
            either = len(words[place] | words[best]) or 1
            similar[place] = max(similar[place], len(words[place] & words[best]) / either)
    return [hits[place] for place in order]
