"""What comes at the same time is worked on together.

Ray Serve's own batches are formed before there is room for them: without a wait, what comes while all are
busy waits in batches of one. Here a batch is formed when a place is free, of all that is alike by then.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from retrieval.serve.metrics import batch_sizes, waits

A = TypeVar("A")
R = TypeVar("R")


class Batcher(Generic[A, R]):
    """Batches of requests that are alike. Used from one event loop.

    Threads of their own for every request would be slower: they take the interpreter from each other between
    any two operations of a model.
    """

    def __init__(
        self, name: str, work: Callable[[Sequence[A]], Sequence[R | Exception]], pool: Executor, *,
        running: int, most: int, size: Callable[[A], int], alike: Callable[[A], Hashable],
    ) -> None:  # fmt: skip
        """work: a result, or what is to be raised, for each request; it runs in `pool`, so often at a time as
        `running` says. most: total of `size` in a batch; what is larger is alone."""
        self._name = name
        self._work = work
        self._pool = pool
        self._free = running
        self._most = most
        self._size = size
        self._alike = alike
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, request: A) -> R:
        """The result of one request. Raises what `work` gave for it."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._start()
        return await future

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            task = asyncio.create_task(self._run(self._next()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waits(self._name, len(self._waiting))

    def _next(self) -> list[tuple[A, "asyncio.Future[R]"]]:
        """The request that has waited longest, and those that are alike as long as there is room."""
        first = self._waiting.popleft()
        chosen, room = [first], self._most - self._size(first[0])
        rest: deque[tuple[A, asyncio.Future[R]]] = deque()
        kind = self._alike(first[0])
        for entry in self._waiting:
            if self._size(entry[0]) <= room and self._alike(entry[0]) == kind:
                chosen.append(entry)
                room -= self._size(entry[0])
            else:
                rest.append(entry)
        self._waiting = rest
        return chosen

    async def _run(self, entries: list[tuple[A, "asyncio.Future[R]"]]) -> None:
        requests = [request for request, _ in entries]
        run = contextvars.copy_context().run  # of the request that began the batch
        found: Sequence[R | Exception]
        try:
            batch_sizes.observe(sum(map(self._size, requests)), {"what": self._name})
            found = await asyncio.get_running_loop().run_in_executor(self._pool, run, self._work, requests)
        except Exception as error:  # raised for each of those who asked
            found = [error for _ in requests]
        finally:
            self._free += 1
            self._start()
        for (_, future), result in zip(entries, found, strict=True):
            if future.done():
                continue  # whoever asked is gone
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
