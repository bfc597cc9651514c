"""Reciprocal rank fusion (Cormack et al. 2009): 1 / (k + rank), rank from 1."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from retrieval.fusions.fusion import Fusion

if TYPE_CHECKING:
    import numpy as np


def shares(scores: "np.ndarray", weight: float, settings: Mapping[str, Any]) -> "np.ndarray":
    """See Fusion. Scores do not count, their order does."""
    import numpy as np

    ranks = np.arange(1, scores.shape[1] + 1, dtype=np.float64)
    return np.broadcast_to(weight / (settings["rrf_k"] + ranks), scores.shape)


RRF = Fusion(
    "rrf", "reciprocal rank fusion", shares,
    {"rrf_k": (int, Field(60, ge=1, le=1_000_000, description="k of reciprocal rank fusion."))},
)  # fmt: skip
