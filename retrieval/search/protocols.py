"""What the query path needs: shards that are searched, and models. In this process, or somewhere else."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from retrieval.filters import Filter
from retrieval.format import Passage
from retrieval.lexical import LexicalQuery, TermMatch
from retrieval.search.ranking import Ranking
from retrieval.search.result import TokenShare

Pairs = tuple[np.ndarray, np.ndarray]  # the best passage token of each query token (t,), their scores (t,)


class Shards(Protocol):
    """Shards of one index version. Passage ids (q, n) are int64, -1 for none; see `ShardGroup`."""

    @property
    def rows(self) -> int:
        """Passages that were searched so far."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What did not answer."""

    @property
    def has_tokens(self) -> bool:
        """Whether token vectors are stored with the shards."""

    def select(self, filter: Filter) -> object:
        """Find the rows that a filter keeps, before a search with it."""

    def selected(self, filter: Filter | None) -> int:
        """How many passages a filter keeps."""

    def dense(
        self, vectors: np.ndarray, n: int, *, filter: Filter | None = None, exact: bool = False
    ) -> Ranking:
        """The n nearest passages of query vectors (q, d) float32."""

    def lexical(self, queries: Sequence[LexicalQuery], n: int, *, filter: Filter | None = None) -> Ranking:
        """The n passages with the highest BM25."""

    def passages(self, ids: np.ndarray) -> dict[int, Passage]:
        """Passages by id."""

    def find(self, passage_id: str) -> Passage | None:
        """The passage with this key, `doc_id#n`."""

    def doc_ids(self, ids: np.ndarray) -> dict[int, str]:
        """Document ids by passage id."""

    def token_scores(self, queries: Sequence[np.ndarray], ids: np.ndarray) -> np.ndarray:
        """MaxSim of queries' token vectors with stored codes: float32 (q, n), -inf for what is not here."""

    def exact_scores(self, vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Exact inner products: float32 (q, n), -inf for what is not here."""

    def quantized_scores(self, vectors: np.ndarray, ids: np.ndarray, depth: int) -> np.ndarray:
        """Scores of the codes alone: float32 (q, n), NaN for what no shortlist had."""

    def term_matches(self, query: LexicalQuery, passage: int) -> list[TermMatch]:
        """Terms of the query in a passage."""

    def token_pairs(self, query: np.ndarray, passage: int) -> Pairs | None:
        """Matches of a query's tokens (t, d) in the stored codes of a passage; None without codes."""


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

    def token_shares(
        self, query: str, tokens: np.ndarray, passage: Passage, pairs: Pairs | None
    ) -> list[TokenShare]:
        """For every query token the passage token with the largest inner product; `pairs` if known."""

    def cross_scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Cross-encoder scores of (query, passage text): float32 (n,)."""
