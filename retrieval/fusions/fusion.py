"""What a fusion declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # settings name the fusions, and a command line that asks for help computes nothing
    import numpy as np

# Of a list: its scores (q, n), best first, -inf where there is none, its weight, and the settings by name.
# What every place adds to the passage there: (q, n) float64.
Shares = Callable[["np.ndarray", float, Mapping[str, Any]], "np.ndarray"]


@dataclass(frozen=True)
class Fusion:
    """A fusion: what every place of a list adds to the passage there.

    The fused score of a passage is the sum over the lists. `name`: as `search.fusion` has it. `line`: what it
    does, for the reference. `settings`: its own ones by name, type and pydantic's Field; they stand in the
    section `search`.
    """

    name: str
    line: str
    shares: Shares
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
