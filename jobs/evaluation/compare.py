"""Versions of an index, or indexes, on the same queries: each stage before and after."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jobs.evaluation.evaluate import Comparison, Evaluation
from jobs.evaluation.measuring import ALPHA, ROUNDS, holm, randomisation_test
from jobs.evaluation.report import as_json, told_queries
from retrieval.errors import ConfigError


@dataclass(frozen=True)
class Contender:
    """A version of an index that is compared; `version` None is the latest."""

    name: str
    index: str
    version: int | None


@dataclass
class Compared:
    """`found`: by contender, the first is before. `comparisons`: of each later one with the first."""

    found: dict[str, Evaluation]
    comparisons: dict[str, list[Comparison]] = field(default_factory=dict)

    @property
    def first(self) -> Evaluation:
        """Before."""
        return next(iter(self.found.values()))


def contenders(index: str, named: list[str]) -> list[Contender]:
    """As the command line names them: version numbers of `index`, or other indexes. Raises ConfigError."""
    if len(named) < 2:
        raise ConfigError(
            "--compare needs two or more versions or indexes",
            hint="corpusmill evaluate INDEX --compare 1 2 --beir FOLDER, or INDEX --compare INDEX OTHER ...",
        )
    found = []
    for one in named:
        if one.isdecimal():
            found.append(Contender(f"version {int(one)}", index, int(one)))
        else:
            found.append(Contender(one, one, None))
    if len({one.name for one in found}) < len(found):
        raise ConfigError("--compare names one twice")
    return found


def compare(
    named: list[Contender], seen_of: Callable[[Contender], np.ndarray],
    evaluate: Callable[[Contender, np.ndarray], Evaluation],
) -> Compared:  # fmt: skip
    """Evaluate each and test the differences from the first.

    A query counts as seen for all where a model of any of them was trained with a positive of it: all are
    measured on the same queries. Tests are corrected together (Holm).
    """
    seen = np.any([seen_of(one) for one in named], axis=0)
    result = Compared({one.name: evaluate(one, seen) for one in named})
    first, measure = result.first, result.first.measure
    tested = []
    for name, one in [*result.found.items()][1:]:
        for stage in [stage for stage in one.stages if stage in first.stages]:
            difference = one.stages[stage].decisive(measure) - first.stages[stage].decisive(measure)
            difference = difference[~np.isnan(difference)]
            tested.append((name, stage, float(difference.mean()), randomisation_test(difference)))
    corrected = holm([p for *_, p in tested])
    before = named[0].name
    for (name, stage, mean, p), adjusted in zip(tested, corrected, strict=True):
        found = Comparison(stage, before, measure, mean, p, adjusted)
        result.comparisons.setdefault(name, []).append(found)
    return result


def compared_json(result: Compared) -> dict[str, Any]:
    """The object that `evaluate --compare --json` prints."""
    return {
        "measure": result.first.measure,
        "test": f"paired randomisation test, two-sided, {ROUNDS} rounds, seed 0; Holm's correction",
        "compared": {name: as_json(found) for name, found in result.found.items()},
        "differences": {
            name: [{**vars(one), "significant": one.significant} for one in own]
            for name, own in result.comparisons.items()
        },
    }


def compared_lines(result: Compared) -> Iterator[str]:
    """A table of stages by contender, on unseen positives first, and which differences are real."""
    first = result.first
    yield f"{first.measure} on {first.dataset.name}, {told_queries(first)}"
    yield ""
    width = max(12, *(len(name) + 2 for name in result.found))
    yield f"{'stage':<22}{'positives':<11}" + "".join(f"{name:>{width}}" for name in result.found)
    for stage in first.stages:
        for part, rows in _rows(first.seen):
            values = [
                found.stages[stage].mean_over(first.measure, rows) if stage in found.stages else None
                for found in result.found.values()
            ]
            cells = "".join(f"{'-' if value is None else format(value, '.4f'):>{width}}" for value in values)
            yield f"{stage:<22}{part:<11}{cells}"
    yield ""
    yield f"{'difference':<44}{'mean':>9}{'p':>9}{'p, Holm':>9}"
    for name, own in result.comparisons.items():
        for one in own:
            told = f"{one.stage}: {name} - {one.against}"
            mark = " *" if one.significant else ""
            yield f"{told:<44}{one.difference:>+9.4f}{one.p:>9.2g}{one.p_corrected:>9.2g}{mark}"
    yield f"* significant at {ALPHA}: paired randomisation test, corrected for the number of comparisons"
    for name, found in result.found.items():
        for warning in found.warnings:
            yield f"Warning: {name}: {warning}."


def _rows(seen: np.ndarray) -> list[tuple[str, np.ndarray]]:
    every = np.ones_like(seen)
    if not seen.any() or seen.all():
        return [("all", every)]
    return [("unseen", ~seen), ("seen", seen), ("all", every)]
