"""The answer without a generator: the sentences of the passages that fit the question best, each cited.

Chosen by MaxSim of token vectors: over the passages of a hybrid search it found SQuAD's answers more often
than the cosine of sentence vectors (see benchmarks/answers/support.py).
"""

import re
from dataclasses import dataclass

import numpy as np

from retrieval.generation.evidence import Evidence, Sentence
from retrieval.generation.neutralized import inert

MOST_SENTENCES = 3
MARGIN = 0.08  # of similarity below the best sentence: what is further below only makes the answer longer
LONGEST = 500  # characters of a sentence that are shown
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Extract:
    """An extractive answer: `text` with citations [1], and the `sentences` that it was made of."""

    text: str
    sentences: tuple[Sentence, ...]


def extract_answer(evidence: Evidence, most: int = MOST_SENTENCES) -> Extract:
    """The best sentences, best first, each followed by the number of its passage (from 1)."""
    chosen: list[Sentence] = []
    seen: set[str] = set()
    order = np.argsort(-evidence.scores, kind="stable").tolist()
    for number in order:
        if len(chosen) == most or evidence.scores[number] < evidence.scores[order[0]] - MARGIN:
            break
        sentence = _shortened(evidence, evidence.sentences[number])
        words = _NO_WORD.sub(" ", evidence.text_of(sentence)).casefold().strip()
        if words and words not in seen:  # passages may overlap, and documents may be copies
            seen.add(words)
            chosen.append(sentence)
    text = " ".join(f"{inert(evidence.text_of(found))} [{found.passage + 1}]" for found in chosen)
    return Extract(text, tuple(chosen))


def _shortened(evidence: Evidence, sentence: Sentence) -> Sentence:
    """A sentence of at most LONGEST characters, cut between words where there are some."""
    if sentence.end - sentence.start <= LONGEST:
        return sentence
    text = evidence.text_of(sentence)[:LONGEST]
    words = text.rsplit(None, 1)
    kept = len(words[0]) if len(words) == 2 and len(words[0]) > LONGEST // 2 else LONGEST
    return Sentence(sentence.passage, sentence.start, sentence.start + kept)
