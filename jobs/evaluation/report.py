"""What an evaluation prints: one JSON object, or lines for people of which the first says what helped."""

from collections.abc import Iterator
from typing import Any

from jobs.evaluation.evaluate import Comparison, Evaluation
from jobs.evaluation.measures import ANSWER_DEPTHS, ANSWER_RECALL, DOCUMENT_MEASURES
from jobs.evaluation.significance import ALPHA, ROUNDS

REQUIRED = (*DOCUMENT_MEASURES, ANSWER_RECALL)


def as_json(found: Evaluation) -> dict[str, Any]:
    """The object that `evaluate --json` prints. A measure that the dataset cannot give is null."""
    dataset = found.dataset
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "queries": len(dataset.queries),
        "summary": summary(found),
        "judged_documents_in_index": found.matched,
        "stages": stage_values(found),
        "significance": {
            "test": f"paired randomisation test, two-sided, {ROUNDS} rounds, seed 0; Holm's correction",
            "alpha": ALPHA,
            "comparisons": [
                {**vars(comparison), "significant": comparison.significant}
                for comparison in found.comparisons
            ],
        },
        "warnings": found.warnings,
    }


def stage_values(found: Evaluation) -> dict[str, dict[str, float | None]]:
    """Means by stage and measure."""
    measures = list(dict.fromkeys([*REQUIRED, *(f"answer_recall@{depth}" for depth in ANSWER_DEPTHS)]))
    return {
        name: {
            **{measure: result.mean(measure) if measure in result.values else None for measure in measures},
            "queries_per_second": result.queries_per_second,
        }
        for name, result in found.stages.items()
    }


def summary(found: Evaluation) -> str:
    """One line: what helped, what hurt, and what made no significant difference."""
    groups: dict[str, list[str]] = {"helped": [], "hurt": [], "no significant difference": []}
    for comparison in found.comparisons:
        if comparison.measure == found.measure:
            groups[_verdict(comparison)].append(
                f"{comparison.stage} over {comparison.against} ({comparison.difference:+.4f}, "
                f"p = {comparison.p_corrected:.2g})"
            )
    said = "; ".join(f"{verdict}: {', '.join(named)}" for verdict, named in groups.items() if named)
    where = f"{found.measure} on {found.dataset.name}, {len(found.dataset.queries):,} queries"
    return f"{where}: {said or 'one stage, nothing to compare'}."


def as_lines(found: Evaluation) -> Iterator[str]:
    """The summary, a table of stages, a table of comparisons, and warnings."""
    yield summary(found)
    yield ""
    stages = stage_values(found)
    names = [
        name
        for name in next(iter(stages.values()))
        if any(values[name] is not None for values in stages.values())
    ]
    widths = [max(9, len(_heading(name)) + 1) for name in names]
    yield f"{'stage':<18}" + "".join(
        f"{_heading(name):>{width}}" for name, width in zip(names, widths, strict=True)
    )
    for stage, values in stages.items():
        cells = zip(names, widths, strict=True)
        yield f"{stage:<18}" + "".join(f"{_cell(name, values[name]):>{width}}" for name, width in cells)
    if found.comparisons:
        yield ""
        yield f"{'difference':<36}{'measure':<18}{'mean':>9}{'p':>9}{'p, Holm':>9}"
    for comparison in found.comparisons:
        mark = " *" if comparison.significant else ""
        yield (
            f"{comparison.stage + ' - ' + comparison.against:<36}{comparison.measure:<18}"
            f"{comparison.difference:>+9.4f}{comparison.p:>9.2g}{comparison.p_corrected:>9.2g}{mark}"
        )
    if found.comparisons:
        yield f"* significant at {ALPHA}: paired randomisation test, corrected for the number of comparisons"
    for warning in found.warnings:
        yield f"Warning: {warning}."


def _verdict(comparison: Comparison) -> str:
    if not comparison.significant:
        return "no significant difference"
    return "helped" if comparison.difference > 0 else "hurt"


def _heading(name: str) -> str:
    return "queries/s" if name == "queries_per_second" else name


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if name == "queries_per_second" else f"{value:.4f}"
