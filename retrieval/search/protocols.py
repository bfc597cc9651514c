"""What the query path needs: shards that are searched, and models. In this process, or somewhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import isfunction
from typing import Any, Protocol

import numpy as np

from retrieval.filters import Filter
from retrieval.format import PASSAGE_FIELDS, Passage
from retrieval.results import TokenShare
from retrieval.search.ranking import Ranking
from retrieval.search.shards import (
    DenseSearch,
    ExplainRequest,
    LexicalSearch,
    Matches,
    Pairs,
    ScoreRequest,
    Shortlisted,
)


class Shards(Protocol):
    """Shards of one index version.

    Every method is a call that may go to other processes: its arguments and its result are plain data.
    Passage ids (q, n) are int64, -1 for none; those that lie elsewhere are passed over.
    """

    @property
    def rows(self) -> int:
        """Passages that were searched so far."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What did not answer."""

    def count(self, filter: Filter) -> int:
        """How many passages a filter keeps. Which, is remembered for the searches with it."""

    def search(self, asked: DenseSearch | LexicalSearch) -> Ranking:
        """The best passages of each query. One shortlist of a dense search is re-scored, of all shards."""

    def shortlist(self, asked: DenseSearch) -> Shortlisted:
        """What a dense search over these shards would choose from."""

    def fetch(self, ids: np.ndarray, columns: Sequence[str] = PASSAGE_FIELDS) -> dict[int, dict[str, Any]]:
        """Fields of `Passage` by id. Raises IndexDamaged."""

    def score(self, asked: Sequence[ScoreRequest]) -> list[np.ndarray]:
        """Of each request, scores of queries with passages: float32 (q, n), -inf where there is none."""

    def explain(self, asked: ExplainRequest) -> Matches:
        """Why passages were found, all of them at once."""

    def find(self, passage_id: str) -> Passage | None:
        """The passage with this key, `doc_id#n`. Raises IndexDamaged."""


def _calls_of(protocol: type) -> frozenset[str]:
    return frozenset(name for name, member in vars(protocol).items() if isfunction(member) and name[0] != "_")


SHARD_CALLS = _calls_of(Shards)


@dataclass(frozen=True)
class TokenShareRequest:
    """A query with its token vectors (t, d), and a passage that it found; `pairs` if they are known."""

    query: str
    tokens: np.ndarray
    passage: Passage
    pairs: Pairs | None


class QueryModels(Protocol):
    """The models of a version."""

    def load(self, name: str) -> bool:
        """Have `encoder`, `tokens` or `cross_encoder` in memory; whether that took loading it."""

    def encode(self, queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
        """Embeddings of queries (q, d) float32, and the places of those longer than the window."""

    def encode_tokens(self, queries: Sequence[str]) -> list[np.ndarray]:
        """Token vectors (t, d) of queries."""

    def maxsim(
        self, tokens: Sequence[np.ndarray], passages: Sequence[Passage], wanted: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """MaxSim of each query's tokens with the passages at its `wanted` places: float32 arrays."""

    def token_shares(self, asked: Sequence[TokenShareRequest]) -> list[list[TokenShare]]:
        """For each request, by query token, the passage token with the largest inner product."""

    def cross_scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Cross-encoder scores of (query, passage text): float32 (n,)."""


MODEL_CALLS = _calls_of(QueryModels)
