"""Ranks all queries by one stage, by BEIR's conventions: documents, not passages, are what is judged.

A document's score is that of its best passage. Passages are fetched until there are 100 documents or none
are left. A document whose id is the query's own is left out.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.evaluation.measuring import Run, strictly_decreasing
from jobs.evaluation.stages import SLOW, Stage
from pipelines.judged import Query
from retrieval.search import MAX_K, Searcher

DOCUMENTS = 100
PASSAGES = 100  # fetched first, and kept for answers
BATCH = 128  # queries ranked in one call
SLOW_BATCH = 16  # by a slow re-ranker, so that progress is seen; it gains nothing from more
WARM_UP = 2  # queries before the clock starts: models are loaded, files are mapped


@dataclass(frozen=True)
class Ranked:
    """What a stage found for q queries.

    `passages`: (q, 100) int64 ids, best first, -1 where there are fewer. `documents`: at most 100 a query,
    empty where documents are not judged. `depths`: (q,) passages fetched. `seconds`: of the first fetch of
    every query, its encoding included; further fetches serve the convention, not a user.
    """

    passages: np.ndarray
    documents: Run
    depths: np.ndarray
    seconds: float


def rank_queries(
    searcher: Searcher, stage: Stage, queries: Sequence[Query], *, documents: bool,
    start: np.ndarray | None = None, progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Ranked:  # fmt: skip
    """Rank every query; `start`: (q,) passages to fetch first, as an earlier stage needed.

    A re-ranker that starts where its first stage ended needs no second fetch: it reorders the same passages.
    """
    depths = np.full(len(queries), PASSAGES, np.int64) if start is None else start.copy()
    passages = np.full((len(queries), PASSAGES), -1, np.int64)
    found: dict[int, dict[str, float]] = {}
    waiting: dict[int, list[int]] = defaultdict(list)
    for number, depth in enumerate(depths.tolist()):
        waiting[depth].append(number)
    size = SLOW_BATCH if stage.name in SLOW else BATCH
    _rank(searcher, stage, [query.text for query in queries[:WARM_UP]], PASSAGES)
    seconds, done, ranked_once = 0.0, 0, np.zeros(len(queries), bool)
    while waiting:
        depth = min(waiting)
        batch, waiting[depth] = waiting[depth][:size], waiting[depth][size:]
        if not waiting[depth]:
            del waiting[depth]
        began = time.perf_counter()
        ids, scores = _rank(searcher, stage, [queries[number].text for number in batch], depth)
        seconds += (time.perf_counter() - began) * float(np.mean(~ranked_once[batch]))
        ranked_once[batch] = True
        passages[batch, : min(PASSAGES, ids.shape[1])] = ids[:, :PASSAGES]
        depths[batch] = depth
        names = searcher.doc_ids(ids) if documents else {}
        for row, number in enumerate(batch):
            if documents:
                found[number] = documents_of(queries[number], ids[row], scores[row], names)
                whole = ids.shape[1] >= depth and ids[row, depth - 1] >= 0
                if len(found[number]) < DOCUMENTS and whole and depth < MAX_K:
                    waiting[min(2 * depth, MAX_K)].append(number)
                    continue
            done += 1
        progress(done, len(queries))
    run = {queries[number].query_id: found[number] for number in sorted(found)}
    return Ranked(passages, run, depths, seconds)


def seconds_per_query(searcher: Searcher, stage: Stage, queries: Sequence[Query]) -> float:
    """An estimate from the first queries, models loaded before the clock starts."""
    texts = [query.text for query in queries[:WARM_UP]]
    _rank(searcher, stage, texts, PASSAGES)
    began = time.perf_counter()
    _rank(searcher, stage, texts, PASSAGES)
    return (time.perf_counter() - began) / len(texts)


def _rank(searcher: Searcher, stage: Stage, texts: list[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    ranking = searcher.rank(texts, k, mode=stage.mode, rerank=stage.rerank, exact=stage.exact)
    return ranking.ids, ranking.scores


def documents_of(
    query: Query, ids: np.ndarray, scores: np.ndarray, names: dict[int, str]
) -> dict[str, float]:
    """The documents of a ranking of passages, each where its best passage stands."""
    best: dict[str, float] = {}
    for number, score in zip(ids.tolist(), scores.tolist(), strict=True):
        if number < 0 or len(best) == DOCUMENTS:
            break
        name = names[number]
        if name != query.query_id:
            best.setdefault(name, score)
    return dict(zip(best, strictly_decreasing(best.values()), strict=True))
