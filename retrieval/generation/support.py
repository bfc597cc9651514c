"""Whether passages support an answer at all: a probability from few features, calibrated on SQuAD.

Half of the calibration has questions over passages that hold the answer, half the same questions over an
index without their paragraph; the articles of one half fitted weights and thresholds, those of the other
gave precision and recall. `python benchmarks/answers/support.py` does it again and prints these figures.
"""

from dataclasses import dataclass

import numpy as np

from retrieval.generation.evidence import Evidence


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


# Features: similarity of the best sentence, largest cosine, and the cross-encoder's score of that sentence.
# The cosine says how much the passages are about the question's subject at all, and counts against it: what
# the sentence has beyond its subject is what answers. Held-out AUC 0.881; MaxSim alone has 0.833, the cosine
# alone 0.673, the cross-encoder alone 0.869.
CALIBRATION = Calibration(
    weights=(8.832, -5.204, 0.312), bias=-3.547, threshold=0.6, precision=0.859, recall=0.714, refused=0.883
)


@dataclass(frozen=True)
class Support:
    """`score`: probability that the passages support an answer, at even odds. `threshold`: as calibrated."""

    score: float
    threshold: float


def support_features(evidence: Evidence) -> np.ndarray:
    """What the calibration weighs: (3,) float64."""
    best = int(evidence.scores.argmax())
    sentence = evidence.sentences[best]
    title = evidence.passages[sentence.passage].title
    shown = f"{title}. {evidence.text_of(sentence)}" if title else evidence.text_of(sentence)
    read = float(evidence.judge.cross_encoder.scores([(evidence.question, shown)])[0])
    return np.array([float(evidence.scores[best]), evidence.cosine, read])


def support(evidence: Evidence) -> Support:
    """How likely the passages support an answer; 0 where they hold no sentence."""
    if not evidence.sentences:
        return Support(0.0, CALIBRATION.threshold)
    return Support(CALIBRATION.probability(support_features(evidence)), CALIBRATION.threshold)
