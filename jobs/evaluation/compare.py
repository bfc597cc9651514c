"""Versions of an index, or indexes, on the same queries: each stage before and after."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from jobs.evaluation.evaluate import Comparison, Evaluation
from jobs.evaluation.measuring import ALPHA, ANSWER_RR, ROUNDS, holm, randomisation_test
from jobs.evaluation.report import as_json, told_queries
from retrieval.errors import ConfigError

ANSWER_AT_5 = "answer_recall@5"


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

    @property
    def measures(self) -> list[str]:
        """What is tested: the deciding measure, and with answers where the first of them stands."""
        more = [ANSWER_AT_5, ANSWER_RR] if self.first.dataset.has_answers else []
        return list(dict.fromkeys([self.first.measure, *more]))


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
    first, before = result.first, named[0].name
    tested: list[tuple[str, Comparison]] = []
    for name, one in [*result.found.items()][1:]:
        shared = [stage for stage in one.stages if stage in first.stages]
        for measure, stage in product(result.measures, shared):
            difference = one.stages[stage].decisive(measure) - first.stages[stage].decisive(measure)
            difference = difference[~np.isnan(difference)]
            p = randomisation_test(difference)
            tested.append((name, Comparison(stage, before, measure, float(difference.mean()), p, p)))
    corrected = holm([found.p for _, found in tested])
    for (name, found), adjusted in zip(tested, corrected, strict=True):
        result.comparisons.setdefault(name, []).append(replace(found, p_corrected=adjusted))
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
    titles = "".join(f"{name:>{width}}" for name in result.found)
    yield f"{'stage':<19}{'measure':<17}{'positives':<11}{titles}"
    for stage, measure in product(first.stages, result.measures):
        for part, rows in _rows(first.seen):
            cells = "".join(f"{value:>{width}}" for value in _values(result, stage, measure, rows))
            yield f"{stage:<19}{measure:<17}{part:<11}{cells}"
    yield ""
    yield f"{'difference':<60}{'mean':>9}{'p':>9}{'p, Holm':>9}"
    for name, own in result.comparisons.items():
        for one in own:
            told = f"{one.stage}, {one.measure}: {name} - {one.against}"
            mark = " *" if one.significant else ""
            yield f"{told:<60}{one.difference:>+9.4f}{one.p:>9.2g}{one.p_corrected:>9.2g}{mark}"
    yield f"* significant at {ALPHA}: paired randomisation test, corrected for the number of comparisons"
    for name, found in result.found.items():
        for warning in found.warnings:
            yield f"Warning: {name}: {warning}."


def _values(result: Compared, stage: str, measure: str, rows: np.ndarray) -> Iterator[str]:
    """A measure of each contender over some queries, as it is shown."""
    for found in result.found.values():
        value = found.stages[stage].mean_over(measure, rows) if stage in found.stages else None
        yield "-" if value is None else f"{value:.4f}"


def _rows(seen: np.ndarray) -> list[tuple[str, np.ndarray]]:
    every = np.ones_like(seen)
    if not seen.any() or seen.all():
        return [("all", every)]
    return [("unseen", ~seen), ("seen", seen), ("all", every)]
