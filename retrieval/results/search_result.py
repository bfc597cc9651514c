"""What a search returns: hits, where each stage saw them, and why they were found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, overload

from retrieval.format import Passage
from retrieval.results.record import Record


@dataclass(frozen=True)
class StageScore(Record):
    """A passage in the list of one stage; `rank` counts from 1."""

    rank: int
    score: float


@dataclass(frozen=True)
class TermShare(Record):
    """A query term in a passage: its idf over the whole index, its count there, its share of BM25."""

    term: str
    idf: float
    count: int
    score: float


@dataclass(frozen=True)
class TokenShare(Record):
    """The passage token that a query token matched best; `start` and `end` are characters of the passage's
    text, whole grapheme clusters; -1 for a token of the title."""

    query_token: str
    passage_token: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class SignalShare(Record):
    """What a stage added to a fused score: `score`, its own, None where it has none; `calibrated`, as the
    fusion takes it; `weight`; and `share`, the last two multiplied."""

    score: float | None
    calibrated: float
    weight: float
    share: float


@dataclass(frozen=True)
class Explanation(Record):
    """Why a passage was found. `dense_quantized` is None where no shortlist had it. `signals`: what each
    stage added to the score, by its name; empty where one stage decided."""

    shard: str
    version: int
    dense_exact: float | None
    dense_quantized: float | None
    terms: list[TermShare]
    tokens: list[TokenShare]
    signals: dict[str, SignalShare]


@dataclass(frozen=True)
class Hit(Passage, StageScore):  # fields of the last base come first
    """A passage that was found: `rank` counts from 1, `score` is that of the last stage, `stages` has all."""

    stages: dict[str, StageScore]
    explanation: Explanation | None = None


@dataclass(frozen=True)
class Neighbour(Passage, Record):
    """A passage that stands beside a hit in its document."""


@dataclass(frozen=True)
class Coverage(Record):
    """How much of the index answered. `searched` counts the passages of the shards that did."""

    passages: int
    searched: int
    full: bool
    missing: tuple[str, ...]

    @classmethod
    def of(cls, passages: int, searched: int, missing: tuple[str, ...] = ()) -> Self:
        """`full`: every shard answered."""
        return cls(passages, searched, not missing and searched == passages, missing)


@dataclass(frozen=True)
class Result(Record, Sequence[Hit]):
    """Hits of one query, best first.

    `truncated`: the query was longer than the encoder's window, and what lies beyond was not seen by it.
    `timings_ms`: by stage, for the whole batch that the query came in. `matching`: passages that the filter
    kept, None without one. `neighbours`: passages beside the hits in their documents, where they were asked
    for; those of shards that do not answer are not among them, as `coverage` says. `only_stop_words`: True
    where the lexical search found no other words in the query, and so looked for these.
    """

    query: str
    version: int
    truncated: bool
    coverage: Coverage
    timings_ms: dict[str, float]
    hits: tuple[Hit, ...]
    matching: int | None = None
    neighbours: tuple[Neighbour, ...] | None = None
    only_stop_words: bool | None = None

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Hit]: ...
    def __getitem__(self, place: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[place]

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True)
class BatchResult(Record):
    """Results in the order of the queries."""

    results: list[Result]


@dataclass(frozen=True)
class Reranked(Record):
    """A text by its place in the request."""

    index: int
    score: float


@dataclass(frozen=True)
class RerankResult(Record):
    """Texts, best first."""

    version: int
    results: list[Reranked]
