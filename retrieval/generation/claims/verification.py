"""Whether passages say a claim: a probability from few features."""

from collections.abc import Iterable, Sequence

import numpy as np

from retrieval.deadline import look
from retrieval.generation.content_words import content_words
from retrieval.generation.evidence import Evidence
from retrieval.generation.support import Calibration

# Fitted and measured by `python benchmarks/answering/claims.py` on halves of SQuAD's articles: held-out AUC
# 0.934, where the words in the best sentence alone have 0.870, and the cross-encoder alone 0.889.
CALIBRATION = Calibration(
    weights=(-2.541, 12.349, -1.576, 0.287), bias=-9.21, threshold=0.63, precision=0.858, recall=0.914,
    refused=0.848,
)  # fmt: skip
STANDS_ALONE = 4  # words that say something, from which on a claim needs no question
Numbers = tuple[int, ...]  # of passages that say a claim together


class Verifier:
    """Compares claims with passages of some evidence, by their numbers, which are their places and 1."""

    def __init__(self, evidence: Evidence, read: Iterable[int]) -> None:
        """read: places of the passages that may be cited."""
        self.evidence = evidence
        self.asked = content_words(evidence.question)
        # By passage, the places of its sentences, and the words of each, the title's among them.
        self.own: dict[int, list[int]] = {place + 1: [] for place in read}
        self.words: list[frozenset[str]] = []
        titles = [content_words(passage.title) for passage in evidence.passages]
        for place, sentence in enumerate(evidence.sentences):
            look()
            self.words.append(titles[sentence.passage] | content_words(evidence.text_of(sentence)))
            if sentence.passage + 1 in self.own:
                self.own[sentence.passage + 1].append(place)
        self._claims: dict[str, ClaimEvidence] = {}

    def claim(self, text: str) -> "ClaimEvidence":
        """What the passages have to do with a claim; computed once for each."""
        if text not in self._claims:
            self._claims[text] = ClaimEvidence(self, text)
        return self._claims[text]


class ClaimEvidence:
    """What passages have to do with a claim.

    `best`: the sentence of each that fits it best, by its place in the evidence. `order`: passages by how
    well that sentence fits, the best first.
    """

    def __init__(self, verifier: Verifier, claim: str) -> None:
        self._verifier = verifier
        self._said = content_words(claim)
        # A short answer says little by itself; with the question it says what to look for.
        alone = len(self._said) >= STANDS_ALONE
        self._asked = claim if alone else f"{verifier.evidence.question} {claim}".strip()
        self._similar = verifier.evidence.similar(self._asked)
        # What it adds to the question; that many passages say what was asked tells nothing.
        self._new = self._said - verifier.asked or self._said
        self._known: dict[Numbers, float] = {}  # models repeat themselves
        self.best: dict[int, int] = {}
        for number, places in verifier.own.items():
            if places:
                self.best[number] = max(places, key=self.fits)
        self.order = sorted(self.best, key=lambda number: -self.fits(self.best[number]))

    @property
    def says_something(self) -> bool:
        """Whether it has words that a passage can hold."""
        return bool(self._said)

    def features(self, groups: Sequence[Numbers]) -> np.ndarray:
        """What the calibration weighs, of the passages of each group together: (groups, 4) float64.

        Share of the claim's new words that the passages hold, and that their best sentences hold; similarity
        of the best of these to the claim, with the question where it is short; the cross-encoder's score of
        them with the same.
        """
        evidence, cheap, pairs = self._verifier.evidence, [], []
        for group in groups:
            best = [self.best[number] for number in group if number in self.best]
            held = [place for number in group for place in self._verifier.own.get(number, ())]
            similar = max((float(self._similar[place]) for place in best), default=0.0)
            cheap.append([self._told(held), self._told(best), similar])
            texts = [evidence.titled(evidence.sentences[place]) for place in best]
            pairs.append((self._asked, " ".join(texts)))
        scores = evidence.judge.cross_encoder.scores(pairs)
        return np.column_stack([np.array(cheap, np.float64).reshape(len(groups), 3), scores])

    def probabilities(self, groups: Sequence[Numbers]) -> list[float]:
        """How likely the passages of each group say the claim together, at even odds."""
        new = [group for group in dict.fromkeys(groups) if group not in self._known]
        if new:
            found = map(CALIBRATION.probability, self.features(new))
            self._known.update(zip(new, found, strict=True))
        return [self._known[group] for group in groups]

    def fits(self, place: int) -> float:
        """How well a sentence fits the claim and the question, by its words and their vectors."""
        return float(self._similar[place]) + self._told([place])

    def _told(self, places: Sequence[int]) -> float:
        """Share of the claim's new words in some sentences together; 1 where it has none."""
        there = frozenset[str]().union(*(self._verifier.words[place] for place in places))
        return len(self._new & there) / len(self._new) if self._new else 1.0
