"""What a fusion declares, and what it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # settings name the fusions, and a command line that asks for help computes nothing
    import numpy as np


@dataclass(frozen=True)
class Signal:
    """What one stage says of the candidates (q, c) of q queries.

    `scores`: float32 (q, c), -inf where it has none. `ranks`: int64 (q, c), places in the list that it found,
    from 1; 0 for what others found. `background`: float32 (q,), its score of a passage that has nothing to do
    with the query. `weight`: at least 0. `perfect`: the score of the query itself as a passage, None where
    scores have no such end.
    """

    scores: "np.ndarray"
    ranks: "np.ndarray"
    background: "np.ndarray"
    weight: float
    perfect: float | None = None


# Of a signal and the settings by name: what it adds to each candidate, float64 (q, c), weight included.
Shares = Callable[[Signal, Mapping[str, Any]], "np.ndarray"]


@dataclass(frozen=True)
class Fusion:
    """A fusion: what every signal adds to a candidate.

    The fused score of a passage is the sum over the signals. `name`: as `search.fusion` has it. `line`: what
    it does, for the reference. `complete`: each signal scores what others found too, and weights add up to 1.
    `settings`: its own ones by name, type and pydantic's Field; they stand in the section `search`.
    """

    name: str
    line: str
    shares: Shares
    complete: bool = False
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
