"""Runs the stages over a dataset, one after the other, measures each, and compares them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from jobs.evaluation.measuring import (
    ALPHA,
    ANSWER_RECALL,
    QRELS,
    answer_measures,
    document_measures,
    holm,
    randomisation_test,
    write_qrels,
    write_run,
)
from jobs.evaluation.ranking import Ranked, rank_queries, seconds_per_query
from jobs.evaluation.seen import seen_queries
from jobs.evaluation.stages import SLOW, Stage, comparisons
from jobs.terminal import duration
from pipelines.judged import Dataset, first_answers
from pipelines.parts import read_part
from retrieval.errors import CorpusmillError, InputError
from retrieval.search import Searcher, check_queries
from retrieval.storage import Store

Progress = Callable[[str, int, int], None]  # name of the stage, queries done, queries


@dataclass(frozen=True)
class StageResult:
    """`values`: each measure by query, float64 (q,), NaN where a query has nothing to measure.

    `seen`: (q,) bool, whether a model was trained with a positive of the query: such are told apart.
    """

    values: dict[str, np.ndarray]
    queries_per_second: float
    seen: np.ndarray

    def decisive(self, measure: str) -> np.ndarray:
        """The measure by query (q,), NaN for queries that are not looked at: those with seen positives."""
        return np.where(self.seen & ~self.seen.all(), np.nan, self.values[measure])

    def mean(self, measure: str) -> float:
        """The measure over the queries that have it, without those with seen positives."""
        return float(np.nanmean(self.decisive(measure)))

    def mean_over(self, measure: str, rows: np.ndarray) -> float | None:
        """The same over some queries (q,) bool; None where none of them has it."""
        own = self.values[measure][rows]
        own = own[~np.isnan(own)]
        return float(own.mean()) if len(own) else None


@dataclass(frozen=True)
class Comparison:
    """Mean difference of a stage from another on the same queries; `p` of the randomisation test, two-sided.

    `p_corrected`: by Holm over all comparisons of the evaluation.
    """

    stage: str
    against: str
    measure: str
    difference: float
    p: float
    p_corrected: float

    @property
    def significant(self) -> bool:
        """Whether the difference is unlikely to be chance."""
        return self.p_corrected < ALPHA


@dataclass
class Evaluation:
    """What came out. `matched`: share of the judged documents that the index holds; None without qrels."""

    dataset: Dataset
    measure: str  # the one that decides what helped
    matched: float | None
    stages: dict[str, StageResult] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # by query; all False: none is


def evaluate(
    searcher: Searcher, store: Store, dataset: Dataset, stages: Sequence[Stage], *,
    runs: Path | None = None, say: Callable[[str], None], progress: Progress,
    seen: np.ndarray | None = None,
) -> Evaluation:  # fmt: skip
    """Evaluate stages; run files are written to the folder `runs`.

    seen: (q,) bool, queries with positives that a model was trained with; default: as the index's models say.

    Raises InputError where a query cannot be searched for, or where the index holds no judged document.
    Memory: the results of one stage, and a few numbers for each query and stage.
    """
    _check_queries(dataset)
    found = Evaluation(dataset, "nDCG@10" if dataset.qrels else ANSWER_RECALL, None)
    found.warnings += dataset.warnings
    found.seen = seen_queries(searcher, store, dataset) if seen is None else seen
    if len(found.seen) and found.seen.all():
        found.warnings.append("every query has positives that the model was trained with: none is unseen")
    if dataset.qrels:
        found.matched = _matched(searcher, store, dataset)
        if found.matched < 1:
            found.warnings.append(
                f"{1 - found.matched:.1%} of the judged documents are not in the index and count as not found"
            )
    if runs is not None and dataset.qrels:
        write_qrels(runs / QRELS, dataset.qrels)
    depths: dict[str, np.ndarray] = {}
    for stage in stages:
        if stage.name in SLOW:
            estimate = seconds_per_query(searcher, stage, dataset.queries) * len(dataset.queries)
            say(f"{stage.name}: about {duration(estimate)} for {len(dataset.queries):,} queries")
        ranked = rank_queries(
            searcher, stage, dataset.queries, documents=bool(dataset.qrels or runs),
            start=None if stage.rerank == "none" else depths.get(stage.mode),
            progress=partial(progress, stage.name),
        )  # fmt: skip
        if stage.rerank == "none":
            depths[stage.name] = ranked.depths
        if runs is not None:
            write_run(runs / f"{stage.name}.txt", ranked.documents, stage.name)
        found.stages[stage.name] = _measure(searcher, dataset, ranked, found.seen)
    found.comparisons = _compare(found, comparisons(stages))
    return found


def _measure(searcher: Searcher, dataset: Dataset, ranked: Ranked, seen: np.ndarray) -> StageResult:
    values: dict[str, np.ndarray] = {}
    if dataset.qrels:
        values |= document_measures(dataset.queries, dataset.qrels, ranked.documents)
    if dataset.has_answers:

        def texts(ids: np.ndarray) -> dict[int, str]:
            return {number: passage.text for number, passage in searcher.passages(ids).items()}

        values |= answer_measures(first_answers(dataset.queries, ranked.passages, texts))
    return StageResult(values, len(dataset.queries) / ranked.seconds, seen)


def _compare(found: Evaluation, pairs: Sequence[tuple[str, str]]) -> list[Comparison]:
    measures = [found.measure]
    if found.dataset.has_answers and ANSWER_RECALL not in measures:
        measures.append(ANSWER_RECALL)
    tested = []
    for measure in measures:
        for stage, against in pairs:
            difference = found.stages[stage].decisive(measure) - found.stages[against].decisive(measure)
            difference = difference[~np.isnan(difference)]
            tested.append((stage, against, measure, float(difference.mean()), randomisation_test(difference)))
    corrected = holm([test[-1] for test in tested])
    return [Comparison(*test, p) for test, p in zip(tested, corrected, strict=True)]


def _check_queries(dataset: Dataset) -> None:
    for query in dataset.queries:
        try:
            check_queries([query.text])
        except CorpusmillError as error:
            raise InputError(
                f"query {query.query_id!r} of {dataset.name}: {error.message}", hint=error.hint
            ) from error


def _matched(searcher: Searcher, store: Store, dataset: Dataset) -> float:
    """Share of the judged documents that the index holds; one part's ids are in memory at a time."""
    judged = {doc_id for documents in dataset.qrels.values() for doc_id in documents}
    missing = set(judged)
    example = ""
    for part in searcher.manifest.parts:
        ids = read_part(store, part.passages.key, ["doc_id"], part.rows)["doc_id"].unique().to_pylist()
        example = example or next(iter(ids), "")
        missing.difference_update(ids)
        if not missing:
            break
    if len(missing) == len(judged):
        raise InputError(
            f"the index holds none of the {len(judged):,} judged documents of {dataset.name}: it is called "
            f"{min(judged)!r} there and {example!r} in the index",
            hint="Evaluate the index of the collection that the qrels belong to, with its own document ids.",
        )
    return 1 - len(missing) / len(judged)
