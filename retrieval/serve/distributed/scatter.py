"""Shard groups behind deployment handles: asked side by side, with a deadline, what is late left out."""

import time
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from ray.serve.handle import DeploymentHandle

from retrieval.deadline import Deadline
from retrieval.errors import ConfigError, CorpusmillError, DeadlineExceeded, InputError
from retrieval.filters import Filter
from retrieval.format import Manifest, Passage
from retrieval.lexical import LexicalQuery, TermMatch
from retrieval.search import Pairs, Ranking, merge_rankings
from retrieval.serve.distributed.remote import reply_of, sender
from retrieval.serve.errors import Overloaded, Unavailable
from retrieval.serve.logs import log
from retrieval.serve.runtime import ShardAssignment


class LateGroups:
    """Groups that did not answer in time, over all requests.

    Requests go on without them, but for one at a time: else each would hold a thread for as long as it waits.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._again: dict[int, float] = {}  # when the next request may wait for it
        self._lock = Lock()

    def skip(self, number: int) -> bool:
        """Whether to go on without a group; if not, no other request waits for it meanwhile."""
        with self._lock:
            now = time.monotonic()
            if now < self._again.get(number, now):
                return True
            if number in self._again:
                self._again[number] = now + self.patience_s
            return False

    def add(self, number: int) -> None:
        """It was waited for in vain."""
        with self._lock:
            self._again.setdefault(number, time.monotonic())

    def discard(self, number: int) -> None:
        """It answered."""
        with self._lock:
            self._again.pop(number, None)


class Scatter:
    """The shard groups of one version, for one request. A group that failed once is not asked again."""

    def __init__(
        self, handles: Sequence[DeploymentHandle], manifest: Manifest, layout: ShardAssignment,
        deadline: Deadline, late: LateGroups,
    ) -> None:  # fmt: skip
        self._handles = handles
        self._late = late
        self._version = manifest.version
        self._deadline = deadline
        self._lost: set[int] = set()
        self._held = layout.held
        self._owners = layout.owners
        self.has_tokens = bool(manifest.token_codec)

    @property
    def rows(self) -> int:
        """Passages of the groups that answered."""
        kept = [held for number, held in enumerate(self._held) if number not in self._lost]
        return sum(shard.rows for held in kept for shard in held)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the shards that did not answer."""
        return tuple(shard.name for number in sorted(self._lost) for shard in self._held[number])

    def _gather(
        self, method: str, *args: Any, groups: Sequence[int] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Answers of the groups that have shards and were not lost; those that fail now are lost."""
        wanted = range(len(self._handles)) if groups is None else groups
        asked = [number for number in wanted if number not in self._lost and self._held[number]]
        self._lost.update(number for number in asked if self._late.skip(number))
        asked = [number for number in asked if number not in self._lost]
        start = time.monotonic()
        # Half of what is left, at most: the groups that do answer are needed for the stages after this.
        patience = min(self._late.patience_s, self._deadline.left / 2)
        deadline = Deadline(start + patience, of=[self._deadline])
        again = {
            number: sender(self._handles[number], deadline, "call", self._version, method, *args, **kwargs)
            for number in asked
        }
        pending = {number: send() for number, send in again.items()}
        found: list[Any] = []
        late = 0
        for number, response in pending.items():
            try:
                found.append(reply_of(response, deadline, again[number]))
                self._late.discard(number)
            except CorpusmillError as error:
                # The question is at fault, or the load, or the request is over.
                if isinstance(error, ConfigError | InputError | Overloaded) or self._deadline.over:
                    for other in pending.values():
                        other.cancel()
                    raise
                log.warning("shard group %s is left out: %s", number, error.message)
                late += isinstance(error, DeadlineExceeded)
                self._lost.add(number)
                if time.monotonic() >= start + self._late.patience_s:
                    self._late.add(number)
        if late and late == len(asked) and patience < self._late.patience_s:
            raise DeadlineExceeded("the request took longer than it may")  # the groups had no time left
        return found

    def select(self, filter: Filter) -> None:
        """Let every group find the rows of a filter."""
        self._gather("select", filter)

    def selected(self, filter: Filter | None) -> int:
        """How many passages a filter keeps, of those that answered."""
        return sum(self._gather("selected", filter))

    def dense(
        self, vectors: np.ndarray, n: int, *, filter: Filter | None = None, exact: bool = False
    ) -> Ranking:
        """The n nearest passages over all groups."""
        found = self._gather("dense", vectors, n, filter=filter, exact=exact)
        return merge_rankings(len(vectors), found, n)

    def lexical(self, queries: Sequence[LexicalQuery], n: int, *, filter: Filter | None = None) -> Ranking:
        """The n passages with the highest BM25 over all groups."""
        found = self._gather("lexical", queries, n, filter=filter)
        return merge_rankings(len(queries), found, n)

    def passages(self, ids: np.ndarray) -> dict[int, Passage]:
        """Passages by id; those of lost groups are not among them."""
        return _union(self._gather("passages", ids, groups=self._owners(ids)))

    def find(self, passage_id: str) -> Passage | None:
        """The passage with this key. Raises Unavailable where a group that was lost may have it."""
        passage = next((found for found in self._gather("find", passage_id) if found is not None), None)
        if passage is None and self._lost:
            raise Unavailable("some shards do not answer, and the others do not have this passage")
        return passage

    def doc_ids(self, ids: np.ndarray) -> dict[int, str]:
        """Document ids by passage id."""
        return _union(self._gather("doc_ids", ids, groups=self._owners(ids)))

    def token_scores(self, queries: Sequence[np.ndarray], ids: np.ndarray) -> np.ndarray:
        """MaxSim with stored codes: float32 (q, n)."""
        return _highest(ids, self._gather("token_scores", queries, ids, groups=self._owners(ids)))

    def exact_scores(self, vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Exact inner products: float32 (q, n)."""
        return _highest(ids, self._gather("exact_scores", vectors, ids, groups=self._owners(ids)))

    def quantized_scores(self, vectors: np.ndarray, ids: np.ndarray, depth: int) -> np.ndarray:
        """Scores of the codes alone: float32 (q, n), NaN where there is none."""
        found = self._gather("quantized_scores", vectors, ids, depth, groups=self._owners(ids))
        return np.fmax.reduce([np.full(ids.shape, np.nan, np.float32), *found])

    def term_matches(self, query: LexicalQuery, passage: int) -> list[TermMatch]:
        """Terms of the query in a passage."""
        found = self._gather("term_matches", query, passage, groups=self._owners(np.array([passage])))
        return found[0] if found else []

    def token_pairs(self, query: np.ndarray, passage: int) -> Pairs | None:
        """Matches of a query's tokens in the stored codes of a passage."""
        found = self._gather("token_pairs", query, passage, groups=self._owners(np.array([passage])))
        return found[0] if found else None


def _union(found: Sequence[dict]) -> dict:
    return {key: value for part in found for key, value in part.items()}


def _highest(ids: np.ndarray, found: Sequence[np.ndarray]) -> np.ndarray:
    return np.max(np.stack([np.full(ids.shape, -np.inf, np.float32), *found]), axis=0)
