"""Convex combination of complete, calibrated scores.

A signal's score is measured between its background, what it gives a passage that has nothing to do with the
query, and its best: (s - background) / (best - background). Convex combinations of scores beat those of ranks
where the scores are comparable (Bruch et al. 2022, "An Analysis of Fusion Functions for Hybrid Retrieval"),
and the background makes them so, also for encoders whose cosines all lie close together.

Where a signal knows what a perfect score is, as cosines do, the best of a query tells how sure it can be: one
that lies `STRONG` of the way from background to perfect counts 1, a weaker one less, a stronger one more.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retrieval.fusions.fusion import Fusion, Signal

if TYPE_CHECKING:
    import numpy as np

# Two encoders and five collections, of which one was not looked at before, rank alike from 0.4 to 0.5.
STRONG = 0.45
STRENGTHS = (0.5, 2.0)  # an encoder whose cosines lie elsewhere shall not silence a half


def shares(signal: Signal, settings: Mapping[str, Any]) -> "np.ndarray":
    """See Fusion. What a signal has no score of counts as background, 0."""
    import numpy as np

    there = signal.scores > -np.inf
    scores = signal.scores.astype(np.float64)
    low = signal.background.astype(np.float64)[:, None]
    best = np.max(scores, axis=1, keepdims=True, where=there, initial=-np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (scores - low) / (best - low)
    if signal.perfect is not None:
        strength = (best - low) / np.maximum(STRONG * (signal.perfect - low), 1e-9)
        scaled = scaled * np.clip(strength, *STRENGTHS)
    # Where nothing is better than background, a signal knows nothing.
    return signal.weight * np.where(there & (best > low), scaled, 0.0)


CALIBRATED = Fusion(
    "calibrated", "sum of scores, each calibrated by what a random passage gets", shares, complete=True
)
