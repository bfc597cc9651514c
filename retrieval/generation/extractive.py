"""The answer without a generator: sentences of the passage that answers best, each cited.

One passage, because a second one that fits less is wrong more often than not; see
benchmarks/answering/citations.py for what this does to precision and recall.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.generation.citations import quote
from retrieval.generation.context import ContextPassage
from retrieval.generation.evidence import Evidence, Sentence
from retrieval.generation.neutralized import inert
from retrieval.generation.sources import Source
from retrieval.results import Citation, Claim

MOST_SENTENCES = 3
MARGIN = 0.12  # of similarity below the best sentence: what is further below only makes the answer longer
LONGEST = 500  # characters of a sentence that are shown
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Extract:
    """An extractive answer: `text` with citations [1], and the `sentences` that it was made of."""

    text: str
    sentences: tuple[Sentence, ...]
    claims: tuple[Claim, ...]

    def citations(self, passages: Sequence[ContextPassage]) -> tuple[Citation, ...]:
        """A citation for each passage, by number, with the best of its sentences."""
        best: dict[int, Citation] = {}
        for sentence in self.sentences:
            best.setdefault(sentence.passage, quote(sentence, passages))
        return tuple(best[place] for place in sorted(best))


def extract_answer(evidence: Evidence, sources: Sequence[Source], passages: int = 1) -> Extract:
    """Sentences of the best sources, each followed by the number of its passage (from 1).

    sources: the best first. passages: how many of them an answer rests on; of several,
    one sentence each.
    """
    chosen: list[Sentence] = []
    seen: set[str] = set()
    for source in sources[:passages]:
        own = [place for place, one in enumerate(evidence.sentences) if one.passage == source.passage]
        best = sorted(own, key=lambda place: -evidence.scores[place])
        near = [place for place in best if evidence.scores[place] >= evidence.scores[best[0]] - MARGIN]
        for place in near[: MOST_SENTENCES if passages == 1 else 1]:
            sentence = _shortened(evidence, evidence.sentences[place])
            words = _NO_WORD.sub(" ", evidence.text_of(sentence)).casefold().strip()
            if words and words not in seen:  # passages may repeat themselves
                seen.add(words)
                chosen.append(sentence)
    text, claims = "", list[Claim]()
    for found in chosen:
        text += " " if text else ""
        start, number = len(text), found.passage + 1
        text += f"{inert(evidence.text_of(found))} [{number}]"
        claims.append(Claim(start, len(text), True, 1.0, (number,)))  # it is a quote
    return Extract(text, tuple(chosen), tuple(claims))


def _shortened(evidence: Evidence, sentence: Sentence) -> Sentence:
    """A sentence of at most LONGEST characters, cut between words where there are some."""
    if sentence.end - sentence.start <= LONGEST:
        return sentence
    text = evidence.text_of(sentence)[:LONGEST]
    words = text.rsplit(None, 1)
    kept = len(words[0]) if len(words) == 2 and len(words[0]) > LONGEST // 2 else LONGEST
    return Sentence(sentence.passage, sentence.start, sentence.start + kept)
