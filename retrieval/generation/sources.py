"""Which passage answers a question: by the best sentence of each, as MaxSim and the cross-encoder see it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.generation.content_words import content_words
from retrieval.generation.evidence import Evidence

# Weights of a sentence's MaxSim and of the cross-encoder's score of it, fitted by the script that
# `retrieval.generation.support` names.
FITS = (18.2, 0.57)
MOST_READ = 8  # passages whose best sentence the cross-encoder reads
FAR = 6.0  # a lead that is as good as any


@dataclass(frozen=True)
class Source:
    """A passage by its best sentence, both by their places. `read`: the cross-encoder's score of it.

    `fit`: how well it answers the question, as a natural logarithm up to a constant.
    """

    passage: int
    sentence: int
    read: float
    fit: float


def sources(evidence: Evidence) -> tuple[Source, ...]:
    """Passages by how well their best sentences answer the question; those with the best MaxSim alone."""
    best: dict[int, int] = {}
    for place in np.argsort(-evidence.scores, kind="stable").tolist():
        best.setdefault(evidence.sentences[place].passage, place)
    places = list(best.values())[:MOST_READ]
    pairs = [(evidence.question, evidence.titled(evidence.sentences[place])) for place in places]
    read = evidence.judge.cross_encoder.scores(pairs).tolist()
    found = [
        Source(evidence.sentences[place].passage, place, score, fit_of(float(evidence.scores[place]), score))
        for place, score in zip(places, read, strict=True)
    ]
    return tuple(sorted(found, key=lambda source: -source.fit))


def fit_of(similar: float, read: float) -> float:
    """Of a sentence's MaxSim and its cross-encoder's score."""
    return FITS[0] * similar + FITS[1] * read


def lead(evidence: Evidence, found: Sequence[Source]) -> float:
    """By how much the best passage fits better than the next one that says something else; at most FAR."""
    asked = content_words(evidence.question)

    def said(source: Source) -> frozenset[str]:
        sentence = evidence.sentences[source.sentence]
        title = evidence.passages[source.passage].title
        return content_words(evidence.text_of(sentence)) - content_words(title) - asked

    first = said(found[0])
    for other in found[1:]:
        if not _agree(first, said(other)):
            return min(FAR, found[0].fit - other.fit)
    return FAR


def _agree(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether two sentences say the same, by their words: then there is no doubt, but twice the support."""
    same = len(first & second)
    few = min(len(first), len(second)) < 3
    return same >= (1 if few else 2) and 4 * same >= len(first | second)
