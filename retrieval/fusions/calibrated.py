"""Convex combination of complete, calibrated scores.

A signal's score is measured between its background, what it gives a passage that has nothing to do with the
query, and its best: (s - background) / (best - background). Convex combinations of scores beat those of ranks
where the scores are comparable (Bruch et al. 2022, "An Analysis of Fusion Functions for Hybrid Retrieval"),
and the background makes them so, also for encoders whose cosines all lie close together.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retrieval.fusions.fusion import Fusion, Signal

if TYPE_CHECKING:
    import numpy as np


def shares(signal: Signal, settings: Mapping[str, Any]) -> "np.ndarray":
    """See Fusion. What a signal has no score of counts as background, 0."""
    import numpy as np

    there = signal.scores > -np.inf
    scores = signal.scores.astype(np.float64)
    low = signal.background.astype(np.float64)[:, None]
    best = np.max(scores, axis=1, keepdims=True, where=there, initial=-np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (scores - low) / (best - low)
    # Where nothing is better than background, a signal knows nothing.
    return signal.weight * np.where(there & (best > low), scaled, 0.0)


CALIBRATED = Fusion(
    "calibrated", "sum of scores, each calibrated by what a random passage gets", shares, complete=True
)
