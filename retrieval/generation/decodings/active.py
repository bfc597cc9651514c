"""Retrieval while an answer is written (FLARE, Jiang et al. 2023): uncertain drafts are searched for."""

import re
from dataclasses import dataclass

from retrieval.generation.generators import Draft

# Numbers of citations and what stands around them say nothing of the subject.
_CITATION = re.compile(r"\[[\d\s,;\u2013-]*\]?")
_WORD = re.compile(r"\w+")
MOST_QUERY = 400  # characters


@dataclass(frozen=True)
class Word:
    """A word of a draft, and the probability of its least likely token."""

    text: str
    probability: float


def words(draft: Draft) -> list[Word]:
    """The words of a draft, without its citations."""
    text = "".join(token.text for token in draft.tokens)
    ends, spans = 0, []
    for token in draft.tokens:
        spans.append((ends, ends + len(token.text), token.probability))
        ends += len(token.text)
    plain = _CITATION.sub(lambda match: " " * len(match[0]), text)
    return [
        Word(
            match[0],
            min(own for start, end, own in spans if start < match.end() and end > match.start()),
        )
        for match in _WORD.finditer(plain)
    ]


def least(draft: Draft) -> float:
    """Probability of a draft's least likely word, 1 where it has none."""
    return min((word.probability for word in words(draft)), default=1.0)


def query_of(draft: Draft, beta: float) -> str:
    """The draft without its words of less probability than `beta`; empty where none is left."""
    return " ".join(word.text for word in words(draft) if word.probability >= beta)[:MOST_QUERY]
