"""Measures of every query: those of ir_measures over judged documents, and answer recall."""

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np

from jobs.evaluation.measuring.runs import Run
from pipelines.judged import Query, recall_at

DOCUMENT_MEASURES = ("nDCG@10", "R@20", "R@100", "RR@10")
ANSWER_RECALL = "answer_recall@20"
ANSWER_DEPTHS = (1, 5, 20, 100)
ANSWER_RR = "answer_RR@10"
_PARSED = {ir_measures.parse_measure(name): name for name in DOCUMENT_MEASURES}


def document_measures(
    queries: Sequence[Query], qrels: Mapping[str, Mapping[str, int]], run: Run
) -> dict[str, np.ndarray]:
    """Each measure by query: float64 (q,). A query without results counts 0; judged means relevance >= 1."""
    rows = {query.query_id: row for row, query in enumerate(queries)}
    values = {name: np.zeros(len(queries)) for name in DOCUMENT_MEASURES}
    for metric in ir_measures.iter_calc(list(_PARSED), qrels, run):
        values[_PARSED[metric.measure]][rows[metric.query_id]] = metric.value
    return values


def answer_measures(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """Answer recall and reciprocal ranks by query from ranks of first answers (q,), NaN without an answer."""
    reciprocal = np.where(np.isnan(ranks), np.nan, np.where(ranks <= 10, 1 / ranks, 0.0))
    return {
        **{f"answer_recall@{depth}": recall_at(ranks, depth) for depth in ANSWER_DEPTHS},
        ANSWER_RR: reciprocal,
    }
