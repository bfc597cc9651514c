"""Requests that ask alike and come at the same time are searched together: one pass through every stage."""

import asyncio
import contextvars
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ray import serve

from retrieval.errors import DeadlineExceeded
from retrieval.search.query_path import QueryPath
from retrieval.search.result import Result
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


def queries_of(asks: Sequence[Ask]) -> int:
    """Size of a batch."""
    return sum(len(ask.queries) for ask in asks)


class Batches:
    """`search` is called from the event loop of a Serve replica.

    Threads of their own for every request would be slower: they take the interpreter from each other between
    any two operations of a model.
    """

    def __init__(self, settings: ServeSettings, use: Use, pool: Executor) -> None:
        self._use = use
        self._pool = pool
        self._most = settings.batching.queries
        self._together.set_max_batch_size(self._most)
        self._together.set_batch_wait_timeout_s(settings.batching.wait_ms / 1000)

    async def search(self, ask: Ask) -> list[Result]:
        """Results of one request. Raises what QueryPath.batch raises."""
        found = await (self._alone(ask) if len(ask.queries) >= self._most else self._together(ask))
        if isinstance(found, Exception):
            raise found
        return found

    async def _alone(self, ask: Ask) -> list[Result] | Exception:
        return (await self._in_thread([ask]))[0]

    @serve.batch(
        max_batch_size=1, batch_wait_timeout_s=0.0, max_concurrent_batches=2, batch_size_fn=queries_of
    )
    async def _together(self, asks: list[Ask]) -> list[list[Result] | Exception]:
        groups: dict[tuple[int, str], list[int]] = {}
        for place, ask in enumerate(asks):
            groups.setdefault(ask.alike, []).append(place)
        found: dict[int, list[Result] | Exception] = {}
        for places in groups.values():
            results = await self._in_thread([asks[place] for place in places])
            found |= zip(places, results, strict=True)
        return [found[place] for place in range(len(asks))]

    async def _in_thread(self, asks: list[Ask]) -> list[list[Result] | Exception]:
        run = contextvars.copy_context().run  # of the request that began the batch
        return await asyncio.get_running_loop().run_in_executor(self._pool, run, self._run, asks)

    def _run(self, asks: list[Ask]) -> list[list[Result] | Exception]:
        """Search for requests that ask alike; those whose time is over are left out."""
        now = time.monotonic()
        late = DeadlineExceeded("the request waited longer than it may take")
        found: list[list[Result] | Exception] = [late for _ in asks]
        timely = [place for place, ask in enumerate(asks) if ask.deadline > now]
        if not timely:
            return found
        queries = [query for place in timely for query in asks[place].queries]
        deadline = max(asks[place].deadline for place in timely)
        try:
            with self._use(asks[0].version, deadline) as path:
                results = path.batch(queries, deadline=deadline, **asks[0].asked)
        except Exception as error:  # raised for each of those who asked
            for place in timely:
                found[place] = error
            return found
        first = 0
        for place in timely:
            end = first + len(asks[place].queries)
            found[place] = results[first:end]
            first = end
        return found
