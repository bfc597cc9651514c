"""What a re-ranker declares, and what it is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # settings name the re-rankers, and a command line that asks for help computes nothing
    import numpy as np


class RerankModels(Protocol):
    """What a re-ranker asks of the models of an index; see `search.QueryModels`."""

    def encode_tokens(self, queries: Sequence[str]) -> "list[np.ndarray]":
        """Token vectors (t, d) of queries."""

    def maxsim(
        self, tokens: "Sequence[np.ndarray]", passages: Sequence[Any], wanted: "Sequence[np.ndarray]"
    ) -> "list[np.ndarray]":
        """MaxSim of each query's tokens with the passages at its `wanted` places: float32 arrays."""

    def cross_scores(self, pairs: Sequence[tuple[str, str]]) -> "np.ndarray":
        """Cross-encoder scores of (query, passage text): float32 (n,)."""


class Candidates(Protocol):
    """The passages `ids` (q, n) int64, -1 for none, that the first stage has found for `queries`."""

    @property
    def queries(self) -> Sequence[str]: ...
    @property
    def ids(self) -> "np.ndarray": ...
    @property
    def models(self) -> RerankModels: ...

    def tokens(self) -> "list[np.ndarray]":
        """Token vectors (t, d) of the queries, which an explanation will show."""

    def stored_scores(self, tokens: "Sequence[np.ndarray]") -> "np.ndarray | None":
        """MaxSim with stored token vectors, float32 (q, n), -inf for none; None where none are stored."""

    def passages(self, ids: "np.ndarray") -> Mapping[int, Any]:
        """Passages, with `title` and `text`, by id; without those of shards that were lost meanwhile."""


# Scores float32 (q, n) of candidates, -inf where there is no passage.
Rank = Callable[[Candidates], "np.ndarray"]
# Scores float32 (n,) of passages that need not be in the index, with one query.
Score = Callable[[RerankModels, str, Sequence[Any]], "np.ndarray"]


@dataclass(frozen=True)
class Reranker:
    """A re-ranker, higher scores first.

    `name`: as `search.rerank` has it. `line`: what it does, for the reference. `rank`, `score`: its code;
    None: no second stage. `model`: the one of `search.Models` that it needs. `cost`: about how much slower
    than the others, by which choices are listed. `compares_stored`: where the index stores token vectors, no
    model reads the passages. `optional`: an evaluation leaves it out unless it is asked for.
    """

    name: str
    line: str
    rank: Rank | None = None
    score: Score | None = None
    model: str | None = None
    cost: int = 0
    compares_stored: bool = False
    optional: bool = False

    @property
    def stage(self) -> str:
        """Its name in timings, explanations and evaluations."""
        return self.name.replace("-", "_")
