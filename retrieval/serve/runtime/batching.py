"""What comes at the same time is worked on together.

Ray Serve's own batches are formed before there is room for them: without a wait, what comes while all are
busy waits in batches of one. Here a batch is formed when a place is free, of all that is alike by then.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from retrieval.deadline import Deadline
from retrieval.serve.metrics import batch_sizes, waits

A = TypeVar("A")
R = TypeVar("R")


@dataclass
class _Entry(Generic[A, R]):
    """A request that waits, and the context that it came in: its id and its trace."""

    request: A
    future: "asyncio.Future[R]"
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


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
        self._waiting: deque[_Entry[A, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, request: A, deadline: Deadline | None = None) -> R:
        """The result of one request. Raises what `work` gave for it, CancelledError where it is cancelled."""
        loop = asyncio.get_running_loop()
        entry: _Entry[A, R] = _Entry(request, loop.create_future())
        self._waiting.append(entry)
        self._start()
        leave = partial(loop.call_soon_threadsafe, entry.future.cancel)
        with (deadline or Deadline()).calling(leave):
            return await entry.future

    def _start(self) -> None:
        while self._free and (entries := self._next()):
            self._free -= 1
            task = asyncio.create_task(self._run(entries))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waits(self._name, len(self._waiting))

    def _next(self) -> "list[_Entry[A, R]]":
        """The request that has waited longest, and those that are alike as long as there is room. Those that
        nobody waits for any more are left out."""
        chosen: list[_Entry[A, R]] = []
        rest: deque[_Entry[A, R]] = deque()
        room = self._most
        for entry in self._waiting:
            if entry.future.done():
                continue
            size, kind = self._size(entry.request), self._alike(entry.request)
            if not chosen or (size <= room and kind == self._alike(chosen[0].request)):
                chosen.append(entry)
                room -= size
            else:
                rest.append(entry)
        self._waiting = rest
        return chosen

    async def _run(self, entries: "list[_Entry[A, R]]") -> None:
        requests = [entry.request for entry in entries]
        run = entries[0].context.run  # a batch is traced under the id of its first request
        found: Sequence[R | Exception]
        try:
            batch_sizes.observe(sum(map(self._size, requests)), {"what": self._name})
            found = await asyncio.get_running_loop().run_in_executor(self._pool, run, self._work, requests)
        except Exception as error:  # raised for each of those who asked
            found = [error for _ in requests]
        finally:
            self._free += 1
            self._start()
        for entry, result in zip(entries, found, strict=True):
            if entry.future.done():
                continue  # whoever asked is gone
            if isinstance(result, Exception):
                entry.future.set_exception(result)
            else:
                entry.future.set_result(result)
