"""Sum of weighted scores, each list's scaled to 0 to 1 by query (min-max)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retrieval.fusions.fusion import Fusion, Signal

if TYPE_CHECKING:
    import numpy as np


def shares(signal: Signal, settings: Mapping[str, Any]) -> "np.ndarray":
    """See Fusion. Where all scores of a list are equal they count 1."""
    import numpy as np

    there = (signal.ranks > 0) & (signal.scores > -np.inf)
    scores = signal.scores.astype(np.float64)
    high = np.max(scores, axis=1, keepdims=True, where=there, initial=-np.inf)
    low = np.min(scores, axis=1, keepdims=True, where=there, initial=np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(high > low, (scores - low) / (high - low), 1.0)
    return signal.weight * np.where(there, scaled, 0.0)


WEIGHTED = Fusion("weighted", "sum of weighted scores, scaled to 0 to 1", shares)
