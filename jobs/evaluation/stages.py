"""The stages of a search that can be evaluated, and which of them an index has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retrieval.errors import ConfigError
from retrieval.format import Manifest
from retrieval.rerankers import RERANKERS
from retrieval.settings import Mode, Rerank, SearchSettings

ALL = "all"


@dataclass(frozen=True)
class Stage:
    """A stage by its name in the report; `against`: the stages that its result is compared with."""

    name: str
    mode: Mode
    against: tuple[str, ...] = ()
    exact: bool = False
    rerank: Rerank = "none"


_RERANKERS = [one for one in RERANKERS.values() if one.rank is not None]
STAGES = (
    Stage("dense_exact", "dense", exact=True),
    Stage("dense", "dense", ("dense_exact",)),
    Stage("lexical", "lexical"),
    Stage("hybrid", "hybrid", ("dense", "lexical")),
    # Each is compared with the cheaper ones too.
    *(
        Stage(one.stage, "hybrid", tuple(other.stage for other in _RERANKERS[:place]), rerank=one.name)
        for place, one in enumerate(_RERANKERS)
    ),
)
SLOW = frozenset(one.stage for one in _RERANKERS if one.optional)


def choose(wanted: str | None, manifest: Manifest, settings: SearchSettings) -> tuple[list[Stage], list[str]]:
    """The stages to run, in their order, and what is to be said of those left out.

    wanted: names parted by commas, or `all`; None: all that the index has but `SLOW` ones. A
    re-ranker works on the index's first stage and is compared with it. Raises ConfigError.
    """
    first = settings.mode or ("hybrid" if manifest.lexical else "dense")
    known = [stage.name for stage in STAGES]
    names = known if wanted in (None, ALL) else [name.strip() for name in str(wanted).split(",")]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no stage {name!r}", hint=f"Stages: {', '.join(known)}, or {ALL} for all of them."
            )
    notes = []
    if not manifest.lexical:
        if wanted not in (None, ALL) and {"lexical", "hybrid"} & set(names):
            raise ConfigError(
                "the index has no lexical part, so neither lexical nor hybrid can be evaluated",
                hint="Set lexical.enabled: true and build again.",
            )
        names = [name for name in names if name not in ("lexical", "hybrid")]
        notes.append("The index has no lexical part: lexical and hybrid are left out.")
    if wanted is None:
        names = [name for name in names if name not in SLOW]
    return [_on(first, stage) for stage in STAGES if stage.name in names], notes


def _on(first: Mode, stage: Stage) -> Stage:
    if stage.rerank == "none":
        return stage
    return replace(stage, mode=first, against=(first, *stage.against))


def comparisons(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """Pairs of stages that are compared: the stage and the one that it should improve on."""
    names = {stage.name for stage in stages}
    return [(stage.name, other) for stage in stages for other in stage.against if other in names]
