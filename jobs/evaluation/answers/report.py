"""The figures of answers for people, for programs, and as a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.evaluation.answers.abstention import ROUNDS as DRAWN
from jobs.evaluation.answers.abstention import risks
from jobs.evaluation.answers.measuring import Difference, trust
from jobs.evaluation.answers.running import AnswerRun
from jobs.evaluation.measuring import ROUNDS

TESTS = (
    f"paired randomisation test, two-sided, {ROUNDS} rounds; of risk_at_70 and aurc a paired bootstrap of "
    f"{DRAWN} rounds; seed 0; Holm's correction"
)


def answers_json(
    name: str, questions: int, summaries: dict[str, dict[str, Any]], found: Sequence[Difference]
) -> dict[str, Any]:
    """The object that `evaluate --answers --json` prints."""
    return {
        "questions": {"name": name, "count": questions}, "runs": summaries, "test": TESTS,
        "differences": [{**vars(one), "significant": one.significant} for one in found],
    }  # fmt: skip


def answers_lines(
    name: str, questions: int, summaries: dict[str, dict[str, Any]], found: Sequence[Difference]
) -> Iterator[str]:
    """A table with a column a run, and which differences from the first are real."""
    yield f"{questions:,} questions of {name}"
    yield ""
    width = max(14, *(len(run) + 2 for run in summaries))
    yield f"{'':<24}" + "".join(f"{run:>{width}}" for run in summaries)
    rows = {name: _row(values) for name, values in summaries.items()}
    for row in dict.fromkeys(row for own in rows.values() for row in own):
        yield f"{row:<24}" + "".join(f"{own.get(row, '-'):>{width}}" for own in rows.values())
    if found:
        yield ""
        yield f"{'difference':<52}{'mean':>9}{'p':>9}{'p, Holm':>9}"
        for one in found:
            told = f"{one.measure}: {one.run} - {one.against}"
            mark = " *" if one.significant else ""
            yield f"{told:<52}{one.mean:>+9.4f}{one.p:>9.4f}{one.p_corrected:>9.4f}{mark}"
        yield ""
        yield f"* real after correction ({TESTS})"


def _row(values: dict[str, Any]) -> dict[str, str]:
    rows = {name: f"{own['mean']:.4f}" for name, own in values["measures"].items()}
    rows["answered"] = f"{values['answered']:.4f}"
    for name in ("answered_answerable", "refused_unanswerable", "risk_at_70", "aurc"):
        if name in values:
            rows[name] = f"{values[name]:.4f}"
    if "judge" in values:
        rows["judged right"] = f"{values['judge']['right']:.4f} of {values['judge']['judged']}"
    rows["tokens"] = f"{values['tokens']:.1f}"
    rows["seconds, median"] = f"{values['seconds']['median']:.2f}"
    rows["seconds, p95"] = f"{values['seconds']['p95']:.2f}"
    if "dollars_per_1000" in values:
        rows["dollars for 1,000"] = f"{values['dollars_per_1000']:.4f}"
    if values["failed"]:
        rows["failed"] = str(values["failed"])
    return rows


def draw_answers(
    path: Path, title: str, runs: Sequence[AnswerRun], summaries: dict[str, dict[str, Any]]
) -> None:
    """Write the picture: risk by coverage, and EM, F1 and holds of each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 4.5), layout="constrained")
    figure.suptitle(title)
    curve, bars = figure.subplots(1, 2)
    for run in runs:
        values = risks(*trust(run))
        curve.plot(np.arange(1, len(values) + 1) / len(values), values, label=run.name)
    curve.set_xlabel("coverage: share of the questions that is answered, most trusted first")
    curve.set_ylabel("risk: share of the answers that is wrong")
    curve.set_ylim(0, 1)
    measures = ["exact_match", "f1", "holds"]
    for place, run in enumerate(runs):
        own = summaries[run.name]["measures"]
        heights = [own.get(name, {"mean": 0.0})["mean"] for name in measures]
        bars.bar(np.arange(3) + 0.8 * place / len(runs), heights, 0.8 / len(runs), label=run.name)
    bars.set_xticks(np.arange(3) + 0.4 - 0.4 / len(runs), [name.replace("_", " ") for name in measures])
    for axes in (curve, bars):
        axes.grid(True, alpha=0.2)
        axes.legend()
    figure.savefig(path, dpi=150)
