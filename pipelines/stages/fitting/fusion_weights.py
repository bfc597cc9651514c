"""How much each half of a hybrid search is trusted, told without judgements.

Two things tell it. Sentences drawn from passages ought to find the passage that they come from: a half that
does so much more rarely than the other fails on this corpus, such as an encoder of another language. And
queries of the index's users, where `dense.query_file` gives them: each half's best passage is scored by the
other half, and a half whose finds the other one confirms, while it does not confirm the other's, is the
better one. Drawn sentences do not tell the latter, since both halves find their passage. The constants below
are measured over two encoders, whole and with noise in their vectors, and five judged collections.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from pipelines.config import RaySettings
from pipelines.runtime import Progress, Usage, result_of
from pipelines.stages.fitting.tuning import Tuning
from retrieval.format import Manifest
from retrieval.fusions import FUSIONS
from retrieval.search.shards import DenseSearch, LexicalSearch, ScoreRequest, open_group, open_statistics
from retrieval.settings import SearchSettings
from retrieval.storage import Store

LEAST_QUERIES = 50
FAILS = 0.4  # passages found by their sentences, as a share of what the other half finds; good ones have 0.58
FAILING = (0.1, 0.5)  # the weight of a half that fails: the first, and the second times that share
EVEN = -0.06  # the difference of confirmation where both are worth the same: cosines have no zeros
SLOPE = 1.5  # of the dense weight, by that difference
WEIGHTS = (0.3, 0.7)
SURE = 2.0  # standard errors from EVEN


@dataclass(frozen=True)
class Bests:
    """What both halves find in some shards for q queries, scores float64, -inf where there are none.

    `dense`, `lexical`: (q, 2), the dense and the lexical score of each half's best passage. `own`: (k, 2), of
    the passages that the first k queries were drawn from.
    """

    dense: np.ndarray
    lexical: np.ndarray
    own: np.ndarray

    def merged(self, other: "Bests") -> "Bests":
        """With those of other shards; of equal ones its own stay."""
        return Bests(
            np.where((other.dense[:, 0] > self.dense[:, 0])[:, None], other.dense, self.dense),
            np.where((other.lexical[:, 1] > self.lexical[:, 1])[:, None], other.lexical, self.lexical),
            np.maximum(self.own, other.own),
        )


def with_fitted_weights(
    manifest: Manifest, settings: SearchSettings, store: Store, tuning: Tuning, progress: Progress,
    workers: RaySettings, plugins: tuple[str, ...],
) -> Manifest:  # fmt: skip
    """The manifest, not yet written, with weights of the fusion and the reason for them.

    settings: as the configuration has them; weights that it sets stay.
    """
    reason = _why_not(manifest, settings)
    if reason:
        return manifest.model_copy(update={"fusion": {"fitted": False, "reason": reason}})
    queries = tuning.drawn.with_given(tuning.given)
    with progress.stage("weigh", "shard", len(manifest.shards)):
        bests = _ask(manifest, store, queries, progress, workers, plugins)
        with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
            low = open_statistics(store, manifest, Path(folder)).background(queries[1])
    drawn = len(tuning.drawn.texts)
    given = slice(drawn, None)
    found = weights_of(
        known_item_success(bests), drawn, confirmation(bests.dense[given], bests.lexical[given], low[given])
    )
    search = dict(manifest.search)
    if found["fitted"]:
        search |= {"dense_weight": found["dense_weight"], "lexical_weight": found["lexical_weight"]}
        progress.say(f"Fusion: {found['reason']}.")
    return manifest.model_copy(update={"fusion": found, "search": search})


def _why_not(manifest: Manifest, settings: SearchSettings) -> str:
    if not manifest.lexical:
        return "there is no lexical index"
    if not FUSIONS[settings.fusion].complete:
        return f"the fusion {settings.fusion} has no weights of scores"
    if settings.model_fields_set & {"dense_weight", "lexical_weight"}:
        return "the configuration sets the weights"
    return ""


def known_item_success(bests: Bests) -> tuple[float, float]:
    """How often the dense and the lexical half find nothing better than the passage of a drawn sentence."""
    k = len(bests.own)
    if not k:
        return 0.0, 0.0
    dense = bests.own[:, 0] >= bests.dense[:k, 0] - 1e-6
    lexical = (bests.own[:, 1] >= bests.lexical[:k, 1] - 1e-6) & (bests.own[:, 1] > 0)
    return float(dense.mean()), float(lexical.mean())


def confirmation(dense: np.ndarray, lexical: np.ndarray, low: np.ndarray) -> np.ndarray:
    """What each half gives the other's best, as shares of its own best: dense's minus lexical's, (n,).

    dense, lexical: scores (q, 2) by the dense and the lexical half of the best of each; low: (q,) dense
    background. Queries that a half finds nothing for, or nothing better than background, are left out.
    """
    there = (dense[:, 0] > low) & (lexical[:, 1] > 0)
    own_dense, own_lexical, low = dense[there], lexical[there], low[there]
    of_dense = np.maximum(own_dense[:, 1], 0) / own_lexical[:, 1]
    of_lexical = (own_lexical[:, 0] - low) / (own_dense[:, 0] - low)
    return np.asarray(np.clip(of_dense, 0, 1) - np.clip(of_lexical, 0, 1))


def weights_of(success: tuple[float, float], drawn: int, difference: np.ndarray) -> dict[str, Any]:
    """Weights by what `known_item_success` gives of `drawn` sentences and by `confirmation`, and why."""
    measured: dict[str, Any] = {"sentences": drawn}
    measured |= {"found_by_dense": success[0], "found_by_lexical": success[1]}
    if drawn >= LEAST_QUERIES and min(success) < FAILS * max(success):
        failing = "dense" if success[0] < success[1] else "lexical"
        share = min(success) / max(success)
        weight = round(FAILING[0] + FAILING[1] * share, 2)
        reason = f"{failing} search finds {share:.0%} of what the other half finds by sentences of passages"
        return _fitted(weight if failing == "dense" else 1 - weight, reason, measured)
    if len(difference) < LEAST_QUERIES:
        found = "both halves find passages by their sentences" if drawn >= LEAST_QUERIES else "few passages"
        text = (
            f"equal weights: {found}, and dense.query_file, which could tell more, gives {len(difference)} "
            f"queries of the {LEAST_QUERIES} that it takes"
        )
        return {"fitted": False, "reason": text, **measured}
    mean, error = float(difference.mean()), float(difference.std() / len(difference) ** 0.5)
    measured |= {"queries": len(difference), "confirmation": round(mean, 4), "error": round(error, 4)}
    if abs(mean - EVEN) <= SURE * error:
        text = f"equal weights: both halves confirm what the other finds alike ({mean:+.3f}, even is {EVEN})"
        return {"fitted": False, "reason": text, **measured}
    better = "dense" if mean > EVEN else "lexical"
    reason = f"what {better} search finds is confirmed more by the other half ({mean:+.3f}, even is {EVEN})"
    return _fitted(float(np.clip(0.5 + SLOPE * (mean - EVEN), *WEIGHTS)), reason, measured)


def _fitted(weight: float, reason: str, measured: dict[str, Any]) -> dict[str, Any]:
    own = {"dense_weight": round(weight, 2), "lexical_weight": round(1 - weight, 2)}
    text = f"{reason}: weights {own['dense_weight']} dense, {own['lexical_weight']} lexical"
    return {"fitted": True, "reason": text, **own, **measured}


def _ask(
    manifest: Manifest, store: Store, queries: tuple[list[str], np.ndarray, np.ndarray], progress: Progress,
    workers: RaySettings, plugins: tuple[str, ...],
) -> Bests:  # fmt: skip
    """The bests of all shards, each asked in a task of its own."""
    remote = ray.remote(num_cpus=1, max_retries=workers.task_retries)(_bests_of_shard)
    shared = [ray.put(value) for value in (manifest, *queries)]
    tasks = [remote.remote(store, number, plugins, *shared) for number in range(len(manifest.shards))]
    merged: Bests | None = None
    for number, task in enumerate(tasks):
        bests, usage = result_of("weigh", task)
        progress.finished(manifest.shards[number].name, manifest.shards[number].rows, usage)
        merged = bests if merged is None else merged.merged(bests)
    assert merged is not None  # an index has a shard
    return merged


def _bests_of_shard(
    store: Store, number: int, plugins: tuple[str, ...], manifest: Manifest, texts: list[str],
    vectors: np.ndarray, passages: np.ndarray,
) -> tuple[Bests, dict[str, Any]]:  # fmt: skip
    """passages: (k, 1) ids that the first k queries were drawn from."""
    usage = Usage()
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
        cache = Path(folder)
        statistics = open_statistics(store, manifest, cache)
        assert statistics.terms is not None
        terms, k = statistics.terms(texts), len(passages)
        group = open_group(store, manifest, cache, [manifest.shards[number]], threads=1, plugins=plugins)
        dense, lexical = group.search(DenseSearch(vectors, 1)), group.search(LexicalSearch(terms, 1))
        found = group.score(
            [
                ScoreRequest("bm25", terms, dense.ids), ScoreRequest("exact", vectors, lexical.ids),
                ScoreRequest("exact", vectors[:k], passages), ScoreRequest("bm25", terms[:k], passages),
            ]
        )  # fmt: skip
        group.close()
    by_lexical, by_dense, own_dense, own_lexical = (scores[:, 0].astype(np.float64) for scores in found)
    return Bests(
        np.column_stack([dense.scores[:, 0], by_lexical]).astype(np.float64),
        np.column_stack([by_dense, lexical.scores[:, 0]]).astype(np.float64),
        np.column_stack([own_dense, own_lexical]),
    ), usage.values()
