"""The stages of a search over a batch of queries: first stage, fusion, re-ranking. Ids and scores only."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field

import numpy as np

from retrieval.deadline import look
from retrieval.format import Passage, best_rows
from retrieval.fusions import FUSIONS, RRF
from retrieval.lexical import Analyzer, LexicalQuery, Statistics, make_query
from retrieval.rerankers import RERANKERS
from retrieval.search.options import Options
from retrieval.search.protocols import QueryModels, Shards
from retrieval.search.ranking import Ranking, fuse
from retrieval.search.shards import DenseSearch, LexicalSearch, ScoreRequest


@dataclass
class Trace:
    """What the stages of a batch gave.

    `lists`: by stage (dense, lexical, hybrid, late_interaction, cross_encoder), in their order. `final`: what
    is returned. `vectors` (q, d), `terms`, `tokens` (t, d): the queries as each stage saw them. `cut`: places
    of the queries that a stage saw only the beginning of.
    """

    lists: dict[str, Ranking] = field(default_factory=dict)
    final: Ranking = field(default_factory=lambda: Ranking.none(0))
    vectors: np.ndarray | None = None
    terms: list[LexicalQuery] = field(default_factory=list)
    tokens: list[np.ndarray] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that passes to a stage's."""
        start = time.perf_counter()
        yield
        self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + 1000 * (time.perf_counter() - start)


@dataclass(frozen=True)
class QueryTerms:
    """Turns queries into terms with the statistics of the whole index."""

    analyzer: Analyzer
    statistics: Statistics

    def __call__(self, queries: Sequence[str]) -> list[LexicalQuery]:
        """Terms of each query."""
        found = []
        for query in queries:
            look()
            found.append(make_query(query, self.analyzer, self.statistics))
        return found


@dataclass(frozen=True)
class FirstFound:
    """What the first stage has found, for a re-ranker; see `rerankers.Candidates`."""

    queries: Sequence[str]
    ids: np.ndarray
    models: QueryModels
    group: Shards
    trace: Trace
    stored_tokens: bool

    def tokens(self) -> list[np.ndarray]:
        """See Candidates."""
        self.trace.tokens = self.models.encode_tokens(self.queries)
        return self.trace.tokens

    def stored_scores(self, tokens: Sequence[np.ndarray]) -> np.ndarray | None:
        """See Candidates."""
        if not self.stored_tokens:
            return None
        return self.group.score(ScoreRequest("token_codes", list(tokens)), self.ids)

    def passages(self, ids: np.ndarray) -> dict[int, Passage]:
        """See Candidates."""
        found = self.group.fetch(ids, ("title", "text"))
        return {number: to_read(**fields) for number, fields in found.items()}


def to_read(title: str, text: str) -> Passage:
    """What a re-ranker reads of a passage, whatever else it has."""
    return Passage("", "", title, text, 0, len(text), "", {})


class Pipeline:
    """Composes the stages. `beside`: where the lexical half runs, while the dense one is waited for.
    `stored_tokens`: whether the shards hold token vectors of their passages."""

    def __init__(
        self, group: Shards, models: QueryModels, terms: QueryTerms | None, beside: Executor,
        stored_tokens: bool,
    ) -> None:  # fmt: skip
        self._group = group
        self._models = models
        self._terms = terms
        self._beside = beside
        self._stored_tokens = stored_tokens

    def run(self, queries: Sequence[str], options: Options, vectors: np.ndarray | None = None) -> Trace:
        """All stages. `vectors`: the queries' embeddings (q, d) float32 where they are known already."""
        trace = Trace(vectors=vectors)
        if options.filter is not None:
            with trace.timed("filter"):
                self._group.count(options.filter)
        first = self._first_stage(queries, options, trace)
        look()
        reranker = RERANKERS[options.rerank]
        if reranker.rank is None:
            trace.final = first.top(options.k)
            return trace
        if reranker.model is not None:
            self._load(reranker.model, trace)
        with trace.timed(reranker.stage):
            head = first.top(options.rerank_depth)
            scores = reranker.rank(self._found(queries, head.ids, trace))
            reranked = Ranking(*best_rows(scores, head.ids, head.width))
        trace.lists[reranker.stage] = reranked
        look()
        if options.settings.rerank_fusion == "replace":
            trace.final = reranked.top(options.k)
        else:
            weights = (1.0, options.settings.rerank_weight)
            trace.final = fuse(RRF, [first, reranked], weights, options.k, dict(options.settings))
        return trace

    def _load(self, name: str, trace: Trace) -> None:
        """Load a model that is not here yet; its seconds are not a stage's."""
        start = time.perf_counter()
        if self._models.load(name):
            trace.timings_ms["load"] = 1000 * (time.perf_counter() - start)

    def _first_stage(self, queries: Sequence[str], options: Options, trace: Trace) -> Ranking:
        lexical = None
        if options.mode != "dense":
            lexical = self._beside.submit(copy_context().run, self._lexical, queries, options, trace)
        if options.mode != "lexical":
            self._dense(queries, options, trace)
        if lexical is not None:
            lexical.result()
            trace.cut |= {place for place, terms in enumerate(trace.terms) if terms.left_out}
        if options.mode != "hybrid":
            return trace.lists[options.mode]
        settings = options.settings
        lists = [trace.lists["dense"], trace.lists["lexical"]]
        weights = (settings.dense_weight, settings.lexical_weight)
        with trace.timed("fusion"):
            fused = fuse(FUSIONS[settings.fusion], lists, weights, options.candidates, dict(settings))
        trace.lists = {"dense": lists[0], "lexical": lists[1], "hybrid": fused}
        return fused

    def _dense(self, queries: Sequence[str], options: Options, trace: Trace) -> None:
        if trace.vectors is None:
            self._load("encoder", trace)
            with trace.timed("encode"):
                trace.vectors, cut = self._models.encode(queries)
            trace.cut |= cut
        with trace.timed("dense"):
            trace.lists["dense"] = self._group.search(
                DenseSearch(trace.vectors, options.candidates, options.filter, options.exact)
            )

    def _found(self, queries: Sequence[str], ids: np.ndarray, trace: Trace) -> FirstFound:
        return FirstFound(queries, ids, self._models, self._group, trace, self._stored_tokens)

    def _lexical(self, queries: Sequence[str], options: Options, trace: Trace) -> None:
        with trace.timed("lexical"):
            trace.terms = self._terms(queries) if self._terms else []
            trace.lists["lexical"] = self._group.search(
                LexicalSearch(trace.terms, options.candidates, options.filter)
            )
