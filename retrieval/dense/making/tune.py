"""Tune how far a search looks against exact search: shard by shard, then over all shards together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from retrieval.dense.dense_shard import DenseShard
from retrieval.dense.index_type import DenseType
from retrieval.dense.settings import DenseSettings
from retrieval.format import SearchParameters, ShardVectors, exact_search

TOLERANCE = 1e-5  # of scores: two ways of adding up the same product differ by less


@dataclass(frozen=True)
class PointResult:
    """What a point of the grid gave, float32 (q, s): the shortlist's scores by codes, and exactly; seconds
    of the search by codes, of re-scoring, and of the assignment to lists, paid once for all shards."""

    codes: np.ndarray
    exact: np.ndarray
    seconds: float
    rescoring: float
    assigning: float


@dataclass(frozen=True)
class ShardResult:
    """One shard's answers: the scores float32 (q, k) of exact search, and of each grid point."""

    exact: np.ndarray
    points: list[PointResult]


@dataclass(frozen=True)
class Tuned:
    """The chosen parameters, the recall/latency table, and a warning where the target is missed."""

    parameters: SearchParameters
    table: list[dict[str, float | int]]
    warning: str = ""


def evaluate_shard(
    shard: DenseShard,
    vectors: ShardVectors,
    queries: np.ndarray,
    points: Sequence[SearchParameters],
    k: int,
) -> ShardResult:
    """Search one shard with queries (q, d) float32: exactly, and at every grid point, timed in a batch."""
    exact, _ = exact_search(queries, vectors, k)
    shard.search(queries[:8], k, parameters=points[-1])  # the first search pages the lists in
    results = []
    for parameters in points:
        start = time.perf_counter()
        assigned = shard.quantizer.assign(queries, parameters)
        middle = time.perf_counter()
        listed = shard.shortlist(queries, k, parameters, assigned)
        found = time.perf_counter()
        scores = listed.scores if listed.exact else shard.scores(queries, listed.rows)
        end = time.perf_counter()
        results.append(PointResult(listed.scores, scores, found - middle, end - found, middle - start))
    return ShardResult(exact, results)


def merge_shard_results(
    left: ShardResult, right: ShardResult, points: Sequence[SearchParameters]
) -> ShardResult:
    """Two shards' answers as those of one: one shortlist of both, as a search has it."""
    k = left.exact.shape[1]
    merged = [
        _merged(ours, theirs, max(k, parameters.shortlist))
        for ours, theirs, parameters in zip(left.points, right.points, points, strict=True)
    ]
    exact = np.concatenate([left.exact, right.exact], axis=1)
    return ShardResult(-np.sort(-exact, axis=1)[:, :k], merged)


def _merged(ours: PointResult, theirs: PointResult, width: int) -> PointResult:
    codes = np.concatenate([ours.codes, theirs.codes], axis=1)
    exact = np.concatenate([ours.exact, theirs.exact], axis=1)
    order = np.argsort(-codes, axis=1, kind="stable")[:, :width]
    return PointResult(
        np.take_along_axis(codes, order, axis=1), np.take_along_axis(exact, order, axis=1),
        # Every shard is searched, one shortlist is re-scored.
        ours.seconds + theirs.seconds, max(ours.rescoring, theirs.rescoring),
        max(ours.assigning, theirs.assigning),
    )  # fmt: skip


def choose_parameters(
    shards: Sequence[ShardResult],
    points: Sequence[SearchParameters],
    kind: DenseType,
    settings: DenseSettings,
) -> Tuned:
    """Recall and milliseconds a query over all shards, and the cheapest point that meets the target.

    recall@k is the share of the k exact scores that a search reaches, so that vectors which are
    equal count alike. Milliseconds are summed over shards: a batch of all queries, on one machine.
    The lower bound of the recall must meet the target, so that other queries meet it as well.
    """
    merged = reduce(lambda left, right: merge_shard_results(left, right, points), shards)
    exact = merged.exact
    table: list[dict[str, float | int]] = []
    for parameters, found in zip(points, merged.points, strict=True):
        scores = -np.sort(-found.exact, axis=1)[:, : exact.shape[1]]
        seconds = found.seconds + found.rescoring + found.assigning
        row: dict[str, float | int] = {name: getattr(parameters, name) for name in kind.tuned}
        shares = recalls(scores, exact)
        row["recall"] = round(float(shares.mean()), 4)
        row["recall_low"] = round(lower_bound(shares), 4)
        row["ms_per_query"] = round(1000 * seconds / max(1, len(exact)), 4)
        table.append(row)
    return _choose(table, points, kind, settings)


def recall(scores: np.ndarray, exact: np.ndarray) -> float:
    """Mean recall of queries; see `recalls`."""
    return float(recalls(scores, exact).mean())


def lower_bound(shares: np.ndarray) -> float:
    """One-sided 95 % confidence bound of the mean, by the normal approximation."""
    if len(shares) < 2:
        return float(shares.mean())
    return float(shares.mean() - 1.645 * shares.std(ddof=1) / np.sqrt(len(shares)))


def recalls(scores: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Share of its exact top k that each query reaches, (q,) float64, by score.

    Scores are float32 (q, k), -inf where missing; a query with nothing to find has 1.
    """
    wanted = np.isfinite(exact)
    if not wanted.any():
        return np.ones(max(1, len(exact)))
    last = np.min(np.where(wanted, exact, np.inf), axis=1, keepdims=True)
    slack = TOLERANCE * np.maximum(1.0, np.abs(last))
    hits = np.isfinite(scores) & (scores >= last - slack)
    counts = wanted.sum(axis=1)
    return np.where(counts > 0, np.minimum(hits.sum(axis=1), counts) / np.maximum(counts, 1), 1.0)


def _choose(
    table: list[dict[str, float | int]], points: Sequence[SearchParameters], kind: DenseType,
    settings: DenseSettings,
) -> Tuned:  # fmt: skip
    target = settings.recall_target
    good = [i for i, row in enumerate(table) if row["recall_low"] >= target]
    if not good:  # too few queries to be sure: the surest of those that meet it on average
        met = [i for i, row in enumerate(table) if row["recall"] >= target]
        good = [i for i in met if table[i]["recall_low"] == max(table[j]["recall_low"] for j in met)]
    if good:
        # A busy machine may time a point that looks further as the faster one: leave those out.
        least = [i for i in good if not any(_less(points[j], points[i], kind.tuned) for j in good)]
        return Tuned(points[min(least, key=lambda i: table[i]["ms_per_query"])], table)
    top = max(range(len(table)), key=lambda i: (table[i]["recall"], -table[i]["ms_per_query"]))
    warning = (
        f"recall@{settings.recall_k} is {table[top]['recall']:.3f} at best, below the target of "
        f"{settings.recall_target}. {kind.advice}"
    ).rstrip()
    return Tuned(points[top], table, warning)


def _less(one: SearchParameters, other: SearchParameters, tuned: Sequence[str]) -> bool:
    """Whether one looks at less than the other in some respect and at more in none."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in tuned]
    return one != other and all(left <= right for left, right in pairs)
