"""Requests that ask alike are searched together: one pass through every stage."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from retrieval.deadline import Deadline, within
from retrieval.errors import DeadlineExceeded
from retrieval.format import Manifest
from retrieval.rerankers import RERANKERS
from retrieval.results import Result
from retrieval.search import Options, QueryPath
from retrieval.serve.errors import TooLarge
from retrieval.serve.runtime.batching import Batcher
from retrieval.serve.settings import Limits, ServeSettings

Use = Callable[[int, Deadline], AbstractContextManager[QueryPath]]


@dataclass(frozen=True)
class Ask:
    """Queries of one request; `asked`: the arguments of QueryPath.batch.

    `read`: passages that a model reads for them, one by one. Company makes that no faster, so such a request
    is searched alone and ends with its own deadline.
    """

    version: int
    queries: list[str]
    asked: dict[str, Any]
    deadline: Deadline
    read: int = 0

    @property
    def alike(self) -> tuple[object, ...]:
        """Requests with the same value can be searched together."""
        kind = (self.version, json.dumps(self.asked, sort_keys=True))
        return (*kind, id(self)) if self.read else kind


def computed(limits: Limits, options: Options, queries: int, manifest: Manifest) -> int:
    """Passages that a model reads for these queries, where it does. Raises TooLarge beyond the limits."""
    pairs = queries * options.rerank_depth
    stored = RERANKERS[options.rerank].compares_stored and bool(manifest.token_codec)
    most, name = (limits.compared, "compared") if stored else (limits.reranked, "reranked")
    if pairs > most:
        raise TooLarge(
            f"{pairs:,} passages to re-rank (queries times search.rerank_depth) are more than {most:,}, the "
            f"most that is allowed (limits.{name})",
            hint="Send fewer queries at a time, or search without re-ranking.",
        )
    return 0 if stored else pairs


class Searching:
    """Searches for many requests; see Batcher. What takes long has places of its own, so that it keeps nobody
    waiting who asks for little."""

    def __init__(self, settings: ServeSettings, use: Use, pool: Executor, slow: Executor) -> None:
        self._use = use
        self._most = settings.batching.queries
        self._quick = self._batches("queries searched", pool, settings.limits.running)
        self._slow = self._batches("queries searched slowly", slow, settings.limits.slow)

    def _batches(self, name: str, pool: Executor, running: int) -> Batcher[Ask, list[Result]]:
        return Batcher(
            name, self._run, pool, running=running, most=self._most, size=lambda ask: len(ask.queries),
            alike=lambda ask: ask.alike,
        )  # fmt: skip

    def is_slow(self, ask: Ask) -> bool:
        """Whether a request takes long."""
        return bool(ask.read) or len(ask.queries) > self._most

    async def search(self, ask: Ask) -> list[Result]:
        """Results of one request. Raises what QueryPath.batch raises, and DeadlineExceeded."""
        return await (self._slow if self.is_slow(ask) else self._quick).ask(ask, ask.deadline)

    def _run(self, asks: Sequence[Ask]) -> list[list[Result] | Exception]:
        """Search for requests that ask alike; those whose time is over are left out."""
        late = DeadlineExceeded("the request waited longer than it may take")
        found: list[list[Result] | Exception] = [late for _ in asks]
        timely = [place for place, ask in enumerate(asks) if not ask.deadline.over]
        if not timely:
            return found
        queries = [query for place in timely for query in asks[place].queries]
        deadline = Deadline(of=[asks[place].deadline for place in timely])
        with self._use(asks[0].version, deadline) as path, within(deadline):
            results = path.batch(queries, **asks[0].asked)
        first = 0
        for place in timely:
            end = first + len(asks[place].queries)
            found[place] = results[first:end]
            first = end
        return found
