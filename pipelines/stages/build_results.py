"""What the stages before the commit have made."""

from dataclasses import dataclass
from typing import Any

from pipelines.parts import Part, PartRange, SliceResult
from pipelines.planning import Plan
from pipelines.stages.fitting import Trained, Tuning
from pipelines.stages.lexical import Lexical
from pipelines.stages.token_codes import StoredTokens


@dataclass(frozen=True)
class BuildResults:
    """Everything that the stages made; `passages` and `dense` are the markers of the shards."""

    plan: Plan
    results: list[SliceResult]
    parts: list[Part]
    shards: list[PartRange]
    passages: list[dict[str, Any]]
    lexical: Lexical | None
    tokens: StoredTokens | None
    background: dict[str, Any]
    trained: Trained
    dense: list[dict[str, Any]]
    tuning: Tuning
