"""What a calibrated score is worth: by background and best, and by how near the best comes to perfect."""

import numpy as np
import pytest

from retrieval.fusions.calibrated import CALIBRATED, STRENGTHS, STRONG
from retrieval.fusions.fusion import Signal

SCORES = np.array([[0.6, 0.4, 0.2, -np.inf]], np.float32)
RANKS = np.array([[1, 2, 0, 0]])


def shares(low: float, perfect: float | None = None, scores: np.ndarray = SCORES, weight: float = 1.0):
    signal = Signal(scores, RANKS, np.array([low], np.float32), weight, perfect)
    return CALIBRATED.shares(signal, {})[0]


def test_scores_lie_between_background_and_best() -> None:
    assert shares(0.2) == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert shares(0.2, weight=0.3) == pytest.approx([0.3, 0.15, 0.0, 0.0])
    assert shares(0.6) == pytest.approx([0.0] * 4)  # nothing is better than background


def test_a_best_that_is_near_to_perfect_counts_more() -> None:
    """The same scores, of encoders whose cosines lie elsewhere."""
    plain = shares(0.2)
    for low, scores in ((0.2, SCORES), (0.6, SCORES / 2 + 0.5)):
        found = shares(low, perfect=1.0, scores=scores)
        assert found == pytest.approx(plain * 0.5 / STRONG, abs=1e-6)
    weak = shares(0.2, perfect=1.0, scores=SCORES * 0.5 + 0.1)
    assert weak == pytest.approx(plain * 0.25 / STRONG, abs=1e-6)


@pytest.mark.parametrize(("perfect", "strength"), [(100.0, STRENGTHS[0]), (0.3, STRENGTHS[1])])
def test_a_half_is_neither_silenced_nor_alone(perfect: float, strength: float) -> None:
    assert shares(0.2, perfect=perfect) == pytest.approx(shares(0.2) * strength)
