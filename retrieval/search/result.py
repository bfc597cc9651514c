"""What a search returns: hits, where each stage saw them, and why they were found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

from retrieval.format import Passage


@dataclass(frozen=True)
class StageScore:
    """A passage in the list of one stage; `rank` counts from 1."""

    rank: int
    score: float


@dataclass(frozen=True)
class TermShare:
    """A query term in a passage: its idf over the whole index, its count there, its share of BM25."""

    term: str
    idf: float
    count: int
    score: float


@dataclass(frozen=True)
class TokenShare:
    """The passage token that a query token matched best; `start` and `end` are characters of the passage's
    text, -1 for a token of the title."""

    query_token: str
    passage_token: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Explanation:
    """Why a passage was found. `dense_quantized` is None where no shortlist had it."""

    shard: str
    version: int
    dense_exact: float | None
    dense_quantized: float | None
    terms: list[TermShare]
    tokens: list[TokenShare]


@dataclass(frozen=True)
class Hit:
    """One result. `rank` counts from 1; `score` is that of the last stage, `stages` has all of them."""

    rank: int
    score: float
    passage: Passage
    shard: str
    stages: dict[str, StageScore] = field(default_factory=dict)
    explanation: Explanation | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that commands and servers print."""
        passage = self.passage
        value: dict[str, Any] = {
            "rank": self.rank, "score": self.score, "passage_id": passage.passage_id,
            "doc_id": passage.doc_id, "title": passage.title, "text": passage.text,
            "start": passage.start, "end": passage.end, "source": passage.source,
            "metadata": passage.metadata,
            "stages": {name: asdict(stage) for name, stage in self.stages.items()},
        }  # fmt: skip
        if self.explanation is not None:
            value["explanation"] = asdict(self.explanation)
        return value


@dataclass(frozen=True)
class Coverage:
    """How much of the index answered. `searched` counts the passages of the shards that did."""

    passages: int
    searched: int
    missing: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Whether every shard answered."""
        return not self.missing and self.searched == self.passages

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "passages": self.passages, "searched": self.searched, "full": self.full,
            "missing": list(self.missing),
        }  # fmt: skip


@dataclass(frozen=True)
class Result(Sequence[Hit]):
    """Hits of one query, best first.

    `truncated`: the query was longer than the encoder's window, and what lies beyond was not seen by it.
    `matching`: passages that the filter kept, None without one. `timings_ms`: by stage, for the whole
    batch that the query came in.
    """

    query: str
    version: int
    hits: tuple[Hit, ...]
    coverage: Coverage
    timings_ms: dict[str, float]
    truncated: bool = False
    matching: int | None = None

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Hit]: ...
    def __getitem__(self, place: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[place]

    def __len__(self) -> int:
        return len(self.hits)

    def as_json(self) -> dict[str, Any]:
        """The object that `search --json` prints."""
        value = {
            "query": self.query, "version": self.version, "truncated": self.truncated,
            "coverage": self.coverage.as_json(), "timings_ms": self.timings_ms,
            "hits": [hit.as_json() for hit in self.hits],
        }  # fmt: skip
        if self.matching is not None:
            value["matching"] = self.matching
        return value
