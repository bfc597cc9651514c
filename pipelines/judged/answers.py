"""Whether a passage holds an answer, as DPR counts it (Karpukhin et al. 2020).

Text is decomposed (Unicode NFD), cut into runs of letters, digits and marks, and single other visible
characters, and lower-cased; a passage holds an answer if the answer's tokens stand in it in a row. The
title is not looked at.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import regex

from pipelines.judged.dataset import Query

TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")
DEPTH = 100  # passages looked at
QUERIES = 512  # whose passages are held at once
STEP = 20  # passages fetched at once: most questions are answered by an early one


def token_sequence(text: str) -> str:
    """The tokens of a text, each with a space on both sides, so that a sequence can be found as a string."""
    tokens = TOKEN.findall(unicodedata.normalize("NFD", text))
    return f" {' '.join(tokens).lower()} " if tokens else ""


def sequences_of(answers: Iterable[str]) -> list[str]:
    """Token sequences of answers, without those that have no token."""
    return [found for text in answers if (found := token_sequence(text))]


def holds_any(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds one of some token sequences."""
    if not answers:
        return False
    tokens = token_sequence(text)
    return any(answer in tokens for answer in answers)


def first_answers(
    queries: Sequence[Query], ids: np.ndarray, texts: Callable[[np.ndarray], dict[int, str]]
) -> np.ndarray:
    """Rank, from 1, of the first passage that holds an answer of its query: float64 (q,).

    ids: (q, n) passage ids, best first, -1 where a query has fewer; `texts` fetches texts by id.
    Infinity: none of the first 100 does. NaN: the query carries no answer.
    """
    ranks = np.array([np.inf if query.answers else np.nan for query in queries])
    for first in range(0, len(queries), QUERIES):
        some = slice(first, first + QUERIES)
        _search(queries[some], ids[some, :DEPTH], texts, ranks[some])
    return ranks


def _search(
    queries: Sequence[Query],
    ids: np.ndarray,
    texts: Callable[[np.ndarray], dict[int, str]],
    ranks: np.ndarray,
) -> None:
    """Fill in the ranks that are infinite so far, where an answer is found."""
    wanted = [sequences_of(query.answers) for query in queries]
    for start in range(0, ids.shape[1], STEP):
        window = ids[:, start : start + STEP]
        unanswered = np.flatnonzero(np.isinf(ranks))
        needed = np.unique(window[unanswered])
        passages = {number: token_sequence(text) for number, text in texts(needed[needed >= 0]).items()}
        for row in unanswered:
            for place, number in enumerate(window[row].tolist(), start=start + 1):
                if number >= 0 and any(answer in passages[number] for answer in wanted[row]):
                    ranks[row] = place
                    break


def recall_at(ranks: np.ndarray, k: int) -> np.ndarray:
    """1 where an answer is among the first k, 0 where not, NaN where there is none to find: float64 (q,)."""
    return np.where(np.isnan(ranks), np.nan, (ranks <= k).astype(np.float64))
