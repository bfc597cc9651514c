"""Requests that ask alike are searched together: one pass through every stage."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from retrieval.errors import DeadlineExceeded
from retrieval.search.query_path import QueryPath
from retrieval.search.result import Result
from retrieval.serve.batching import Batcher
from retrieval.serve.settings import ServeSettings

Use = Callable[[int, float], AbstractContextManager[QueryPath]]


@dataclass(frozen=True)
class Ask:
    """Queries of one request; `deadline` of time.monotonic(), `asked` the arguments of QueryPath.batch."""

    version: int
    queries: list[str]
    asked: dict[str, Any]
    deadline: float

    @property
    def alike(self) -> tuple[int, str]:
        """Requests with the same value can be searched together."""
        return self.version, json.dumps(self.asked, sort_keys=True)


class Searching:
    """Searches for many requests; see Batcher."""

    def __init__(self, settings: ServeSettings, use: Use, pool: Executor) -> None:
        self._use = use
        self._batcher: Batcher[Ask, list[Result]] = Batcher(
            "queries searched", self._run, pool, running=settings.limits.running,
            most=settings.batching.queries, size=lambda ask: len(ask.queries), alike=lambda ask: ask.alike,
        )  # fmt: skip

    async def search(self, ask: Ask) -> list[Result]:
        """Results of one request. Raises what QueryPath.batch raises, and DeadlineExceeded."""
        return await self._batcher.ask(ask)

    def _run(self, asks: Sequence[Ask]) -> list[list[Result] | Exception]:
        """Search for requests that ask alike; those whose time is over are left out."""
        now = time.monotonic()
        late = DeadlineExceeded("the request waited longer than it may take")
        found: list[list[Result] | Exception] = [late for _ in asks]
        timely = [place for place, ask in enumerate(asks) if ask.deadline > now]
        if not timely:
            return found
        queries = [query for place in timely for query in asks[place].queries]
        deadline = max(asks[place].deadline for place in timely)
        with self._use(asks[0].version, deadline) as path:
            results = path.batch(queries, deadline=deadline, **asks[0].asked)
        first = 0
        for place in timely:
            end = first + len(asks[place].queries)
            found[place] = results[first:end]
            first = end
        return found
