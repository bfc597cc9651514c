"""The query path over shards and models, wherever they are: hits, and where each stage saw them."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from retrieval.deadline import Deadline, look, within
from retrieval.format import AnyDenseSpec, Manifest, Passage
from retrieval.results import Coverage, Explanation, Hit, Result, StageScore
from retrieval.search.explain import explain as explain_all
from retrieval.search.fusing import Fused
from retrieval.search.neighbours import read_neighbours
from retrieval.search.options import MAX_K, Options, check_queries, check_vectors, resolve
from retrieval.search.protocols import QueryModels, Shards
from retrieval.search.ranking import Ranking
from retrieval.search.shards import Cell, DenseSearch
from retrieval.search.stages import Pipeline, Trace
from retrieval.search.statistics import IndexStatistics
from retrieval.settings import SearchSettings


class QueryPath:
    """Searches one version. Safe to use from several threads. Costs nothing to make, so one can live for a
    query.

    `manifest`: of the version. `settings`: stages and depths, as the index's configuration says.
    """

    def __init__(
        self, manifest: Manifest, group: Shards, models: QueryModels, statistics: IndexStatistics,
        beside: Executor, settings: SearchSettings | None = None,
    ) -> None:  # fmt: skip
        self.manifest = manifest
        self.settings = settings or SearchSettings.model_validate(manifest.search)
        self.spec = AnyDenseSpec.model_validate(manifest.dense)
        self._group = group
        self.models = models
        self._pipeline = Pipeline(group, models, statistics, beside, bool(manifest.token_codec))

    def __call__(self, query: str, k: int = 10, **options: Any) -> Result:
        """The k best passages of one query; options as in `batch`."""
        return self.batch([query], k, **options)[0]

    def batch(
        self, queries: Sequence[str], k: int = 10, *, mode: str | None = None, rerank: str | None = None,
        filter: str | dict[str, Any] | None = None, per_document: int | None = None, explain: bool = False,
        neighbours: int = 0, vectors: np.ndarray | None = None, settings: SearchSettings | None = None,
        deadline: float | None = None,
    ) -> list[Result]:  # fmt: skip
        """The k best passages of each query, all queries through each stage together.

        mode: dense, lexical or hybrid. rerank: a name of `rerankers.RERANKERS`. filter: an
        expression such as `lang = "en" and year >= 2019`, or its JSON form; see retrieval.filters.
        per_document: most passages of one document. neighbours: passages before and after each hit, of its
        document, to read with it: those of `Result.neighbours`. vectors: embeddings (q, d) of the queries
        where they are known. deadline: of time.monotonic(), at which the work ends; default: that in force.
        Raises ConfigError or InputError for what cannot be searched, DeadlineExceeded, IndexDamaged,
        ModelError.
        """
        check_queries(queries)
        asked = self.options(settings, k=k, mode=mode, rerank=rerank, filter=filter, explain=explain,
                              per_document=per_document, neighbours=neighbours)  # fmt: skip
        if not queries:
            return []
        with within(Deadline(deadline)) if deadline is not None else nullcontext():
            return self._batch(queries, asked, vectors)

    def _batch(self, queries: Sequence[str], asked: Options, vectors: np.ndarray | None) -> list[Result]:
        start = time.perf_counter()
        trace = self._run(queries, asked, vectors)
        with trace.timed("passages"):
            passages = self._group.fetch(trace.final.ids)
            beside = read_neighbours(
                trace.final.ids, passages, asked.neighbours, self._group, self.manifest.passages
            )
        why: dict[Cell, Explanation] = {}
        with trace.timed("explain" if asked.explain else "passages"):
            if asked.explain:
                why = explain_all(queries, trace, passages, self._group, self.models, self.manifest)
            hits = [self._hits(row, trace, passages, why) for row in range(len(queries))]
        trace.timings_ms["total"] = 1000 * (time.perf_counter() - start)
        timings = {name: round(value, 3) for name, value in trace.timings_ms.items()}
        matching = self._group.count(asked.filter) if asked.filter is not None else None
        searched, missing = self._group.rows, self._group.missing  # after all calls
        coverage = Coverage.of(self.manifest.passages, searched, missing)
        return [
            Result(query, self.manifest.version, row in trace.cut, coverage, timings, found, matching, near,
                   only_stop_words=(bool(trace.terms) and trace.terms[row].only_stop_words) or None)
            for row, (query, found, near) in enumerate(zip(queries, hits, beside, strict=True))
        ]  # fmt: skip

    def rank(
        self, queries: Sequence[str], k: int, *, mode: str | None = None, rerank: str | None = None,
        filter: str | dict[str, Any] | None = None, exact: bool = False,
        vectors: np.ndarray | None = None, settings: SearchSettings | None = None,
    ) -> Ranking:  # fmt: skip
        """Scores and passage ids of the k best, without their text; `exact` searches every vector."""
        check_queries(queries)
        asked = self.options(settings, k=k, mode=mode, rerank=rerank, filter=filter, exact=exact)
        return self._pipeline.run(queries, asked, self._checked(vectors)).final

    def fused(self, queries: Sequence[str], settings: SearchSettings | None = None) -> Fused:
        """What both halves of a hybrid search say of its candidates."""
        check_queries(queries)
        fused = self._pipeline.run(queries, self.options(settings, k=1, mode="hybrid", rerank="none")).fused
        assert fused is not None  # by a fusion, whichever it is
        return fused

    def search_vectors(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact scores float32 and passage ids int64 of the k best, both (q, k), -1 where there are fewer.

        vectors: (q, d) float32, embedded as queries.
        """
        asked = self.options(None, k=k, mode="dense", rerank="none")
        found = self._group.search(DenseSearch(check_vectors(vectors, self.spec.dimension), asked.k))
        return found.scores, found.ids

    def encode(self, queries: Sequence[str]) -> np.ndarray:
        """Embeddings of queries: (q, d) float32."""
        check_queries(queries)
        return self.models.encode(queries)[0]

    def doc_ids(self, ids: np.ndarray) -> dict[int, str]:
        """Document ids of passage ids."""
        return {number: row["doc_id"] for number, row in self._group.fetch(ids, ("doc_id",)).items()}

    def find(self, passage_id: str) -> Passage | None:
        """The passage with this key, `doc_id#n`."""
        return self._group.find(passage_id)

    def passages(self, ids: np.ndarray) -> dict[int, Passage]:
        """Passages by id."""
        return {number: Passage(**row) for number, row in self._group.fetch(ids).items()}

    def options(self, settings: SearchSettings | None = None, **asked: Any) -> Options:
        """What is asked, checked against the index. Raises ConfigError."""
        values = {"mode": None, "rerank": None, "filter": None, **asked}
        return resolve(self.manifest, settings or self.settings, **values)

    def _checked(self, vectors: np.ndarray | None) -> np.ndarray | None:
        return None if vectors is None else check_vectors(vectors, self.spec.dimension)

    def _run(self, queries: Sequence[str], asked: Options, vectors: np.ndarray | None) -> Trace:
        """All stages; with a limit by document, deeper and deeper until it leaves k passages."""
        vectors = self._checked(vectors)
        if asked.per_document is None:
            return self._pipeline.run(queries, asked, vectors)
        deep, cut = min(MAX_K, 2 * asked.k), set[int]()
        while True:
            trace = self._pipeline.run(queries, replace(asked, k=deep), vectors)
            cut = trace.cut = trace.cut | cut  # a later round has the vectors and does not look again
            limited, full = self._limit(trace.final, asked)
            if full or deep == MAX_K or deep >= self._group.rows:
                trace.final = limited
                return trace
            deep, vectors = min(MAX_K, 4 * deep), trace.vectors

    def _limit(self, found: Ranking, asked: Options) -> tuple[Ranking, bool]:
        """At most `per_document` passages of a document; whether looking deeper would give no more."""
        owners = self.doc_ids(found.ids)
        scores = np.full((len(found.ids), asked.k), -np.inf, found.scores.dtype)
        ids = np.full((len(found.ids), asked.k), -1, np.int64)
        full = True
        for row, passages in enumerate(found.ids.tolist()):
            taken: dict[str, int] = {}
            kept: list[int] = []
            for place, passage in enumerate(passages):
                owner = owners.get(passage, "")
                if passage >= 0 and len(kept) < asked.k and taken.get(owner, 0) < (asked.per_document or 1):
                    taken[owner] = taken.get(owner, 0) + 1
                    kept.append(place)
            scores[row, : len(kept)], ids[row, : len(kept)] = found.scores[row, kept], found.ids[row, kept]
            full &= len(kept) == asked.k or min(passages, default=-1) < 0
        return Ranking(scores, ids), full

    def _hits(
        self, row: int, trace: Trace, passages: dict[int, dict[str, Any]], why: dict[Cell, Explanation]
    ) -> tuple[Hit, ...]:
        hits: list[Hit] = []
        ids, scores = trace.final.ids[row].tolist(), trace.final.scores[row].tolist()
        for place, (number, score) in enumerate(zip(ids, scores, strict=True)):
            if number < 0:
                break
            look()
            if number not in passages:  # its shards were lost after they were searched; coverage says so
                continue
            stages = {}
            for name, ranking in trace.lists.items():
                found = ranking.position(row, number)
                if found is not None:
                    stages[name] = StageScore(found + 1, float(ranking.scores[row, found]))
            reason = why.get((row, place))
            hits.append(Hit(len(hits) + 1, score, **passages[number], stages=stages, explanation=reason))
        return tuple(hits)
