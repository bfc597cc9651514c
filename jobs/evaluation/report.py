"""What an evaluation prints: one JSON object, or lines for people of which the first says what helped."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jobs.evaluation.collections import Evaluations
from jobs.evaluation.evaluate import Comparison, Evaluation
from jobs.evaluation.fit_fusion import Fit
from jobs.evaluation.measuring import (
    ALPHA,
    ANSWER_DEPTHS,
    ANSWER_RECALL,
    ANSWER_RR,
    DOCUMENT_MEASURES,
    ROUNDS,
)
from pipelines.runtime import counted

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
        "positives": parts_of(found),
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
    answers = [f"answer_recall@{depth}" for depth in ANSWER_DEPTHS]
    measures = list(dict.fromkeys([*REQUIRED, *answers, ANSWER_RR]))
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
    where = f"{found.measure} on {found.dataset.name}, {told_queries(found)}"
    return f"{where}: {said or 'one stage, nothing to compare'}."


def told_queries(found: Evaluation) -> str:
    """How many queries decide."""
    count, seen = len(found.dataset.queries), int(found.seen.sum())
    if not seen or seen == count:
        return f"{count:,} queries"
    return f"{count - seen:,} of {count:,} queries whose positives no model was trained with"


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
    yield from part_lines(found)
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


def parts_of(found: Evaluation) -> dict[str, Any] | None:
    """The deciding measure over queries with unseen and with seen positives; None where none is seen."""
    if not found.seen.any():
        return None
    return {
        name: {
            "queries": int(rows.sum()),
            "stages": {stage: one.mean_over(found.measure, rows) for stage, one in found.stages.items()},
        }
        for name, rows in (("unseen", ~found.seen), ("seen", found.seen), ("all", np.ones_like(found.seen)))
    }


def part_lines(found: Evaluation) -> Iterator[str]:
    """The deciding measure by seen and unseen positives, where a model was trained with some."""
    parts = parts_of(found)
    if parts is None:
        return
    yield ""
    yield f"{found.measure + ' by positives':<30}" + "".join(f"{stage:>18}" for stage in found.stages)
    for name, part in parts.items():
        cells = "".join(f"{_cell('', part['stages'][stage]):>18}" for stage in found.stages)
        told = f"{name}, {part['queries']:,} queries"
        yield f"{told:<30}" + cells


def fit_lines(found: Fit) -> Iterator[str]:
    """What the fit found, and what to write where the gain is real."""
    gain = f"{found.held_out:+.4f} {found.measure} on queries that did not choose it (p = {found.p:.2g})"
    lead = (
        f"{found.queries:,} queries: best is a dense weight of {found.weight:.2f}, in use {found.before:.2f}"
    )
    if not found.accepted:
        yield f"{lead}; {gain}: the gain may be chance, so the weights stay."
    else:
        yield f"{lead}; {gain}. To take it, write and build again, which embeds nothing:"
        yield ""
        yield f"search: {{dense_weight: {found.weight:g}, lexical_weight: {round(1 - found.weight, 2):g}}}"
    yield ""
    yield f"{'dense weight':<14}{found.measure:>9}"
    for weight, value in found.table.items():
        yield f"{weight:<14.2f}{value:>9.4f}"


def collections_json(every: Evaluations) -> dict[str, Any]:
    """The object that `evaluate --json` prints of several collections."""
    return {
        "measure": every.measure,
        "summary": collections_summary(every),
        "means": every.means(),
        "over_collections": [
            {**vars(comparison), "significant": comparison.significant} for comparison in every.comparisons
        ],
        "collections": {name: as_json(found) for name, found in every.found.items()},
    }


def collections_summary(every: Evaluations) -> str:
    """One line: what helped over all collections, and where it hurt."""
    said = []
    for one in every.comparisons:
        hurt = [name for name, own in _signed(every, one).items() if own == "-"]
        where = f", but hurt on {', '.join(hurt)}" if hurt else ""
        said.append(
            f"{one.stage} over {one.against} {one.difference:+.4f} (p = {one.p_corrected:.2g}{where})"
        )
    over = counted(len(every.found), "collection")
    return f"{every.measure}, {over}: {'; '.join(said) or 'nothing to compare'}."


def collections_lines(every: Evaluations) -> Iterator[str]:
    """The summary, a table of collections by stage with their mean, the comparisons, and warnings."""
    yield collections_summary(every)
    yield ""
    means = every.means()
    widths = {stage: max(9, len(stage) + 2) for stage in means}
    yield f"{'collection':<24}{'queries':>8}" + "".join(
        f"{stage:>{width}}" for stage, width in widths.items()
    )
    for name, found in every.found.items():
        cells = (f"{found.stages[stage].mean(every.measure):>{width}.4f}" for stage, width in widths.items())
        yield f"{name:<24}{len(found.dataset.queries):>8,}" + "".join(cells)
    yield f"{'mean':<32}" + "".join(f"{means[stage]:>{width}.4f}" for stage, width in widths.items())
    if every.comparisons:
        yield ""
        yield f"{'difference':<36}{'mean':>9}{'p, Holm':>9}  significantly above (+), below (-)"
    for one in every.comparisons:
        mark = "*" if one.significant else " "
        signs = ", ".join(f"{sign} {name}" for name, sign in _signed(every, one).items() if sign != "0")
        names = f"{one.stage} - {one.against}"
        yield f"{names:<36}{one.difference:>+9.4f}{one.p_corrected:>9.2g}{mark} {signs or 'nowhere'}"
    if every.comparisons:
        yield (
            f"* significant at {ALPHA}: paired randomisation test over queries, collections counting alike; "
            "corrected for the comparisons over all and in each collection together"
        )
    for name, found in every.found.items():
        for warning in found.warnings:
            yield f"Warning: {name}: {warning}."


def _signed(every: Evaluations, of: Comparison) -> dict[str, str]:
    """By collection, whether a stage is significantly above (+) or below (-) another, or neither (0)."""
    signs = {}
    for name, found in every.found.items():
        [own] = [
            one
            for one in found.comparisons
            if (one.stage, one.against, one.measure) == (of.stage, of.against, of.measure)
        ]
        signs[name] = "0" if not own.significant else "+" if own.difference > 0 else "-"
    return signs


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
