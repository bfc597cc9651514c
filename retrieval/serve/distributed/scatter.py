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
from retrieval.format import PASSAGE_FIELDS, Manifest, Passage
from retrieval.search import Ranking
from retrieval.search.shards import (
    DenseSearch,
    ExplainRequest,
    LexicalSearch,
    Matches,
    ScoreRequest,
    Shortlisted,
    highest,
    merge_matches,
    merge_rankings,
    union,
)
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
        self, handles: Sequence[DeploymentHandle], manifest: Manifest, assignment: ShardAssignment,
        deadline: Deadline, late: LateGroups,
    ) -> None:  # fmt: skip
        self._handles = handles
        self._late = late
        self._version = manifest.version
        self._deadline = deadline
        self._lost: set[int] = set()
        self._held = assignment.held
        self._owners = assignment.owners
        self._counts: dict[Filter, dict[int, int]] = {}

    @property
    def rows(self) -> int:
        """Passages of the groups that answered."""
        kept = [held for number, held in enumerate(self._held) if number not in self._lost]
        return sum(shard.rows for held in kept for shard in held)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the shards that did not answer."""
        return tuple(shard.name for number in sorted(self._lost) for shard in self._held[number])

    def _gather(self, method: str, *args: Any, groups: Sequence[int] | None = None) -> dict[int, Any]:
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
            number: sender(self._handles[number], deadline, "call", self._version, method, *args)
            for number in asked
        }
        pending = {number: send() for number, send in again.items()}
        found: dict[int, Any] = {}
        late = 0
        for number, response in pending.items():
            try:
                found[number] = reply_of(response, deadline, again[number])
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

    def _answers(self, method: str, *args: Any, ids: np.ndarray | None = None) -> list[Any]:
        """What `_gather` finds, of those groups alone that have some of these passages."""
        groups = None if ids is None else self._owners(ids)
        return list(self._gather(method, *args, groups=groups).values())

    def count(self, filter: Filter) -> int:
        """See Shards. A group is asked once; those that are lost since do not count."""
        known = self._counts.setdefault(filter, {})
        new = [number for number in range(len(self._handles)) if number not in known]
        known |= self._gather("count", filter, groups=new)
        return sum(count for number, count in known.items() if number not in self._lost)

    def search(self, asked: DenseSearch | LexicalSearch) -> Ranking:
        """See Shards."""
        if isinstance(asked, LexicalSearch):
            return merge_rankings(len(asked.queries), self._answers("search", asked), asked.n)
        queries = len(asked.vectors)
        if asked.exact or sum(map(bool, self._held)) == 1:
            return merge_rankings(queries, self._answers("search", asked), asked.n)
        found = self.shortlist(asked)
        ids = np.sort(found.listed.ids, axis=1)  # neighbours in a file are read together
        rescored = Ranking(self.score([ScoreRequest("exact", asked.vectors, ids)])[0], ids)
        return merge_rankings(queries, [found.known, rescored], asked.n)

    def shortlist(self, asked: DenseSearch) -> Shortlisted:
        """See Shards. As long as that of one group: what is re-scored does not grow with the groups."""
        found: list[Shortlisted] = self._answers("shortlist", asked)
        queries, width = len(asked.vectors), max((one.listed.width for one in found), default=0)
        known = merge_rankings(queries, [one.known for one in found], asked.n)
        return Shortlisted(known, merge_rankings(queries, [one.listed for one in found], width))

    def fetch(self, ids: np.ndarray, columns: Sequence[str] = PASSAGE_FIELDS) -> dict[int, dict[str, Any]]:
        """See Shards. Passages of lost groups are not among them."""
        return union(self._answers("fetch", ids, columns, ids=ids))

    def score(self, asked: Sequence[ScoreRequest]) -> list[np.ndarray]:
        """See Shards."""
        ids = np.concatenate([one.ids.ravel() for one in asked])
        answers = self._answers("score", asked, ids=ids)
        return [
            highest(one.ids.shape, [found[number] for found in answers]) for number, one in enumerate(asked)
        ]

    def explain(self, asked: ExplainRequest) -> Matches:
        """See Shards."""
        return merge_matches(asked.ids.shape, self._answers("explain", asked, ids=asked.ids))

    def find(self, passage_id: str) -> Passage | None:
        """See Shards. Raises Unavailable where a group that was lost may have it."""
        found = (one for one in self._answers("find", passage_id) if one is not None)
        passage: Passage | None = next(found, None)
        if passage is None and self._lost:
            raise Unavailable("some shards do not answer, and the others do not have this passage")
        return passage
