"""Whether passages support an answer at all: a probability from few features, calibrated on SQuAD.

The calibration has questions over passages that hold the answer, over an index without their paragraph, and
over one without their whole article; the articles of one half fitted weights and thresholds, those of the
other gave precision and recall. `python benchmarks/answering/support.py` does it again and prints them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.generation.evidence import Evidence
from retrieval.generation.sources import Source, lead, sources


@dataclass(frozen=True)
class Calibration:
    """A logistic regression over features, and what it reached on questions that it was not fitted on.

    `weights` and `bias`: of the features as they are. `threshold`: of the probability, at even odds.
    `precision`: share of supported questions among those called so; `recall`: share of the supported
    questions that are called so; `refused`: share of the unsupported that are refused.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float
    precision: float
    recall: float
    refused: float

    def probability(self, features: np.ndarray) -> float:
        """Of being supported; features: (len(weights),)."""
        return float(1 / (1 + np.exp(-(np.dot(self.weights, features) + self.bias))))


# Features: similarity of the best passage's best sentence, largest cosine, the cross-encoder's score of that
# sentence, and the passage's lead. The cosine says how much the passages are about the question's subject at
# all, and counts a little against it: what the sentence has beyond its subject is what answers. On 300
# questions, held-out AUC 0.892 where the paragraph is missing and 0.976 where its article is. At the
# threshold 95 % of the answers are of the question's own passage.
CALIBRATION = Calibration(
    weights=(5.428, -0.961, 0.266, 0.414), bias=-4.713, threshold=0.6, precision=0.891, recall=0.754,
    refused=0.908,
)  # fmt: skip


@dataclass(frozen=True)
class Support:
    """`score`: probability that the passages support an answer, at even odds. `threshold`: as calibrated.

    `sources`: passages by how well they answer, the best first.
    """

    score: float
    threshold: float
    sources: tuple[Source, ...] = ()


def support_features(evidence: Evidence, found: Sequence[Source]) -> np.ndarray:
    """What the calibration weighs: (4,) float64. found: sources, the best first."""
    best = found[0]
    similar = float(evidence.scores[best.sentence])
    return np.array([similar, evidence.cosine, best.read, lead(evidence, found)])


def support(evidence: Evidence) -> Support:
    """How likely the passages support an answer; 0 where they hold no sentence."""
    if not evidence.sentences:
        return Support(0.0, CALIBRATION.threshold)
    found = sources(evidence)
    score = CALIBRATION.probability(support_features(evidence, found))
    return Support(score, CALIBRATION.threshold, found)
