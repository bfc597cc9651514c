"""What a run of answers comes to, and which differences between runs are real."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.evaluation.answers.abstention import area, bootstrap, risk_at
from jobs.evaluation.answers.questions import Questions
from jobs.evaluation.answers.running import AnswerRun, Outcome
from jobs.evaluation.measuring import ALPHA, holm, randomisation_test

# Of questions that were answered at the threshold; of all others the measure is 0, or not known.
ANSWERED_ALONE = ("citation_precision", "citation_recall")
OF_THE_CONTEXT = ("answer_recall", "supporting", "supporting_all")
TESTED = ("exact_match", "f1", "holds", "answer_recall", "supporting_all", "citation_precision")


@dataclass(frozen=True)
class Price:
    """What an answer costs: dollars an hour of what answers, and a million tokens that are written."""

    hour: float | None = None
    million_tokens: float | None = None

    def of(self, outcome: Outcome) -> float | None:
        """Dollars of one answer, None where no price is known."""
        if self.hour is None and self.million_tokens is None:
            return None
        tokens = outcome.answer.tokens if outcome.answer else 0
        return outcome.seconds / 3600 * (self.hour or 0.0) + tokens / 1e6 * (self.million_tokens or 0.0)


@dataclass(frozen=True)
class Difference:
    """A later run less the first: `mean` of the paired differences, or of the measure of all questions."""

    measure: str
    run: str
    against: str
    mean: float
    p: float
    p_corrected: float

    @property
    def significant(self) -> bool:
        """After the correction for all that were tested."""
        return self.p_corrected < ALPHA


def answered(outcome: Outcome, threshold: float) -> bool:
    """Whether a question counts as answered at a threshold of support."""
    return outcome.answer is not None and outcome.answer.support >= threshold and outcome.answer.supported


def column(run: AnswerRun, measure: str, threshold: float) -> np.ndarray:
    """A measure by question: float64 (n,), NaN where it is not defined.

    An answer that is not given, for want of support or for an error, is not right: it counts 0 where there is
    something to be right about. What the context holds does not depend on the threshold.
    """
    values = []
    for one in run.outcomes:
        value = one.measures.get(measure, np.nan)
        if measure not in OF_THE_CONTEXT and not answered(one, threshold):
            value = np.nan if measure in ANSWERED_ALONE or np.isnan(value) else 0.0
        values.append(value)
    return np.array(values, np.float64)


def trust(run: AnswerRun) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (n,) and wrong (n,): an answer is right where a right one stands in it."""
    confidence = [one.answer.support if one.answer else 0.0 for one in run.outcomes]
    wrong = [1.0 - one.measures.get("holds", 0.0) for one in run.outcomes]
    return np.array(confidence), np.array(wrong)


def summary(run: AnswerRun, questions: Questions, threshold: float, price: Price) -> dict[str, Any]:
    """The figures of a run, as JSON. Means are over the questions that a measure is defined for."""
    names = list(dict.fromkeys(name for one in run.outcomes for name in one.measures))
    means = {}
    for name in names:
        values = column(run, name, threshold)
        if not np.isnan(values).all():
            means[name] = {"mean": float(np.nanmean(values)), "questions": int((~np.isnan(values)).sum())}
    open_ = np.array([bool(one.answers) for one in questions.questions])
    given = np.array([answered(one, threshold) for one in run.outcomes])
    seconds = np.array([one.seconds for one in run.outcomes])
    dollars = [price.of(one) for one in run.outcomes]
    own = [one.answer for one in run.outcomes if one.answer is not None]
    found = {
        "measures": means, "failed": run.failed, "answered": float(given.mean()), "threshold": threshold,
        "tokens": float(np.mean([one.tokens for one in own])) if own else 0.0,
        "seconds": {
            "median": float(np.median(seconds)), "p95": float(np.percentile(seconds, 95)),
            "total": float(seconds.sum()),
        },
        "risk_at_70": risk_at(*trust(run)), "aurc": area(*trust(run)),
    }  # fmt: skip
    if (~open_).any():
        found["refused_unanswerable"] = float((~given[~open_]).mean())
        if open_.any():
            found["answered_answerable"] = float(given[open_].mean())
    if dollars and dollars[0] is not None:
        found["dollars_per_1000"] = 1000 * float(np.mean([one or 0.0 for one in dollars]))
    verdicts = [one.verdict for one in run.outcomes if one.verdict is not None]
    if verdicts:
        found["judge"] = {"right": float(np.mean(verdicts)), "judged": len(verdicts)}
    return found


def differences(runs: list[AnswerRun], threshold: float) -> list[Difference]:
    """Each later run against the first, all tests corrected together (Holm)."""
    first, tested = runs[0], []
    for run in runs[1:]:
        for name in TESTED:
            paired = column(run, name, threshold) - column(first, name, threshold)
            paired = paired[~np.isnan(paired)]
            if len(paired):
                tested.append((name, run.name, float(paired.mean()), randomisation_test(paired)))
        for name, measure in (("risk_at_70", risk_at), ("aurc", area)):
            mean, p = bootstrap(measure, trust(first), trust(run))
            tested.append((name, run.name, mean, p))
    corrected = holm([p for *_, p in tested])
    return [
        Difference(name, run, first.name, mean, p, adjusted)
        for (name, run, mean, p), adjusted in zip(tested, corrected, strict=True)
    ]
