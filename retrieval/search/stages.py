"""The stages of a search over a batch of queries: first stage, fusion, re-ranking. Ids and scores only."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace

import numpy as np

from retrieval.deadline import look
from retrieval.format import Passage, best_rows
from retrieval.fusions import FUSIONS, RRF, Signal
from retrieval.lexical import LexicalQuery
from retrieval.rerankers import RERANKERS, Reranker
from retrieval.search.fusing import Fused, candidates_of, fuse, signal_of
from retrieval.search.options import Options
from retrieval.search.protocols import QueryModels, Shards
from retrieval.search.ranking import Ranking
from retrieval.search.shards import DenseSearch, LexicalSearch, ScoreRequest
from retrieval.search.statistics import IndexStatistics


@dataclass
class Trace:
    """What the stages of a batch gave.

    `lists`: by stage (dense, lexical, hybrid, late_interaction, cross_encoder), in their order. `fused`: what
    they add up to, None where one stage decided. `final`: what is returned. `vectors` (q, d), `terms`,
    `tokens` (t, d): the queries as each stage saw them. `cut`: places of queries that a stage saw only the
    beginning of.
    """

    lists: dict[str, Ranking] = field(default_factory=dict)
    fused: Fused | None = None
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
        return self.group.score([ScoreRequest("token_codes", list(tokens), self.ids)])[0]

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
        self, group: Shards, models: QueryModels, statistics: IndexStatistics, beside: Executor,
        stored_tokens: bool,
    ) -> None:  # fmt: skip
        self._group = group
        self._models = models
        self._statistics = statistics
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
        look()
        if options.settings.rerank_fusion == "replace":
            trace.fused = None
            trace.final = reranked.top(options.k)
        else:
            trace.fused = self._with_reranked(first, reranked, reranker, options, trace)
            trace.final = trace.fused.ranking(options.k)
        trace.lists[reranker.stage] = reranked
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
        fusion = FUSIONS[options.settings.fusion]
        replaces = options.settings.rerank_fusion == "replace"
        if options.mode == "hybrid":
            trace.lists = {name: trace.lists[name] for name in ("dense", "lexical")}
        elif options.rerank_depth == 0 or not fusion.complete or replaces:
            return trace.lists[options.mode]
        with trace.timed("fusion"):
            trace.fused = self._fused(options, trace)
        if options.mode != "hybrid":
            return trace.lists[options.mode]
        trace.lists["hybrid"] = trace.fused.ranking(options.candidates)
        return trace.lists["hybrid"]

    def _fused(self, options: Options, trace: Trace) -> Fused:
        """The lists of the first stage, fused as the settings say."""
        settings, lists = options.settings, trace.lists
        fusion = FUSIONS[settings.fusion]
        weights = {"dense": settings.dense_weight, "lexical": settings.lexical_weight}
        own = [weights[name] for name in lists]
        if not fusion.complete:
            return fuse(fusion, lists, own, dict(settings))
        ids = candidates_of([*lists.values()])
        signals = {
            name: signal_of(ids, ranking, weight / (sum(own) or 1.0), self._background(name, trace))
            for (name, ranking), weight in zip(lists.items(), own, strict=True)
        }
        if "dense" in signals:
            signals["dense"] = replace(signals["dense"], perfect=self._statistics.perfect)
        return Fused.of(fusion, ids, self._complete(ids, signals, trace), dict(settings))

    def _background(self, name: str, trace: Trace) -> np.ndarray | None:
        """What random passages score; BM25 gives most of them nothing."""
        if name != "dense" or trace.vectors is None:
            return None
        return self._statistics.background(trace.vectors)

    def _complete(self, ids: np.ndarray, signals: dict[str, Signal], trace: Trace) -> dict[str, Signal]:
        """The signals with scores of what the other half alone found: one call for both.

        Inner products are computed anew for all: those of a search differ in their last bits with what else
        was searched beside them, and the order of candidates may not.
        """
        asked: dict[str, ScoreRequest] = {}
        if "dense" in signals and trace.vectors is not None:
            asked["dense"] = ScoreRequest("exact", trace.vectors, ids)
        if "lexical" in signals and trace.terms:
            unknown = np.where(signals["lexical"].ranks == 0, ids, -1)
            asked["lexical"] = ScoreRequest("bm25", trace.terms, unknown)
        if not asked:
            return signals
        found = dict(zip(asked, self._group.score([*asked.values()]), strict=True))
        if "lexical" in found:
            found["lexical"] = np.maximum(signals["lexical"].scores, found["lexical"])
        return signals | {name: replace(signals[name], scores=scores) for name, scores in found.items()}

    def _with_reranked(
        self, first: Ranking, reranked: Ranking, reranker: Reranker, options: Options, trace: Trace
    ) -> Fused:
        """The re-ranked list as one signal more beside the first stage's."""
        settings = options.settings
        if trace.fused is None or not FUSIONS[settings.fusion].complete:
            lists = {options.mode: first, reranker.stage: reranked}
            return fuse(RRF, lists, (1.0, settings.rerank_weight), dict(settings))
        share = settings.rerank_weight / (1.0 + settings.rerank_weight)
        signals = {
            name: replace(signal, weight=signal.weight * (1.0 - share))
            for name, signal in trace.fused.signals.items()
        }
        there = np.where(reranked.ids >= 0, reranked.scores, np.inf)
        lowest = np.min(there, axis=1, initial=np.inf)
        low = np.where(np.isfinite(lowest), lowest, 0.0).astype(np.float32)
        signals[reranker.stage] = signal_of(trace.fused.ids, reranked, share, low)
        return Fused.of(FUSIONS[settings.fusion], trace.fused.ids, signals, dict(settings))

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
            trace.terms = self._statistics.terms(queries) if self._statistics.terms else []
            trace.lists["lexical"] = self._group.search(
                LexicalSearch(trace.terms, options.candidates, options.filter)
            )
