"""Fits the weights of the fusion to judgements: by cross-validation, and only where the gain is real."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.evaluation.measuring import ALPHA, document_measures, randomisation_test
from jobs.evaluation.ranking import documents_of
from pipelines.judged import Dataset
from retrieval.errors import ConfigError
from retrieval.fusions import FUSIONS
from retrieval.search import Searcher

MEASURE = "nDCG@10"
WEIGHTS = [round(0.05 * step, 2) for step in range(21)]  # of the dense half; the lexical one has the rest
FOLDS = 5
LEAST_QUERIES = 50  # fewer tell nothing
BATCH = 128  # queries searched in one call


@dataclass(frozen=True)
class Fit:
    """Weights from 0 to 1 of the dense half; the lexical one has the rest.

    `before`: in use. `weight`: the best. `table`: the measure by weight. `held_out`: mean gain over `before`
    of queries that did not choose the weight; `p`: of the randomisation test.
    """

    measure: str
    queries: int
    before: float
    weight: float
    table: dict[float, float]
    held_out: float
    p: float

    @property
    def accepted(self) -> bool:
        """Whether the gain is real."""
        return self.held_out > 0 and self.p < ALPHA and self.weight != self.before

    def as_json(self) -> dict[str, Any]:
        """The object that `evaluate --fit-fusion --json` prints."""
        rows = [{"dense_weight": weight, self.measure: value} for weight, value in self.table.items()]
        return {
            "measure": self.measure, "queries": self.queries, "dense_weight_before": self.before,
            "dense_weight": self.weight if self.accepted else self.before, "accepted": self.accepted,
            "held_out_gain": self.held_out, "p": self.p, "table": rows,
        }  # fmt: skip


def fit_fusion(searcher: Searcher, dataset: Dataset, progress: Callable[[str, int, int], None]) -> Fit:
    """Weights of the two halves that rank the judged documents best.

    Raises ConfigError where the index has no lexical half, the fusion takes no weights of scores, or there
    are too few judged queries.
    """
    settings = searcher.settings
    if not searcher.manifest.lexical:
        raise ConfigError("the index has no lexical part, so there is nothing to fuse")
    if not FUSIONS[settings.fusion].complete:
        raise ConfigError(
            f"the weights of the fusion {settings.fusion!r} are not fitted", hint="Use calibrated."
        )
    if len(dataset.queries) < LEAST_QUERIES or not dataset.qrels:
        raise ConfigError(
            f"{len(dataset.queries) if dataset.qrels else 0} judged queries are too few to fit weights to",
            hint=f"It takes {LEAST_QUERIES}.",
        )
    total = settings.dense_weight + settings.lexical_weight
    before = settings.dense_weight / total if total else 0.5
    values = _values(searcher, dataset, [*WEIGHTS, before], progress)
    held = _held_out(values[:-1], values[-1])
    means = values[:-1].mean(axis=1).tolist()
    return Fit(
        measure=MEASURE,
        queries=len(dataset.queries),
        before=before,
        weight=_best(means, before),
        table=dict(zip(WEIGHTS, means, strict=True)),
        held_out=float(held.mean()),
        p=randomisation_test(held),
    )


def _best(means: Sequence[float], before: float) -> float:
    """The weight with the highest mean; of equal ones that nearest to the one in use."""
    best = max(means) - 1e-9
    fitting = [weight for weight, mean in zip(WEIGHTS, means, strict=True) if mean >= best]
    return min(fitting, key=lambda weight: abs(weight - before))


def _held_out(values: np.ndarray, before: np.ndarray, seed: int = 0) -> np.ndarray:
    """Gain (q,) of each query by the weight that the other folds would choose. values: (weights, q)."""
    folds = np.random.default_rng(seed).permutation(len(before)) % FOLDS
    gain = np.zeros(len(before))
    for fold in range(FOLDS):
        own = folds == fold
        chosen = WEIGHTS.index(_best(values[:, ~own].mean(axis=1).tolist(), 0.5))
        gain[own] = values[chosen, own] - before[own]
    return gain


def _values(
    searcher: Searcher, dataset: Dataset, weights: list[float], progress: Callable[[str, int, int], None]
) -> np.ndarray:
    """The measure (weights, q) of every query under every weight: each is searched once."""
    values = np.zeros((len(weights), len(dataset.queries)))
    fusion, settings = FUSIONS[searcher.settings.fusion], dict(searcher.settings)
    for first in range(0, len(dataset.queries), BATCH):
        batch = dataset.queries[first : first + BATCH]
        fused = searcher.fused([query.text for query in batch])
        names = searcher.doc_ids(fused.ids)
        qrels = {query.query_id: dataset.qrels[query.query_id] for query in batch}
        for number, weight in enumerate(weights):
            own = fused.reweighted(fusion, {"dense": weight, "lexical": 1 - weight}, settings)
            found = own.ranking(own.ids.shape[1])
            run = {
                query.query_id: documents_of(query, found.ids[row], found.scores[row], names)
                for row, query in enumerate(batch)
            }
            values[number, first : first + BATCH] = document_measures(batch, qrels, run)[MEASURE]
        progress("fit", min(first + BATCH, len(dataset.queries)), len(dataset.queries))
    return values
