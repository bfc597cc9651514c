"""Reciprocal rank fusion (Cormack et al. 2009): 1 / (k + rank), rank from 1."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from retrieval.fusions.fusion import Fusion, Signal

if TYPE_CHECKING:
    import numpy as np


def shares(signal: Signal, settings: Mapping[str, Any]) -> "np.ndarray":
    """See Fusion. Scores do not count, their order does."""
    import numpy as np

    return np.where(signal.ranks > 0, signal.weight / (settings["rrf_k"] + signal.ranks), 0.0)


RRF = Fusion(
    "rrf", "reciprocal rank fusion", shares, settings=
    {"rrf_k": (int, Field(60, ge=1, le=1_000_000, description="k of reciprocal rank fusion."))},
)  # fmt: skip
