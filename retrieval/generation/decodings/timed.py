"""What is awaited for an answer, within its deadline and the generator's time, and how long it took."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from retrieval.deadline import Deadline, within
from retrieval.errors import DeadlineExceeded, GenerationError
from retrieval.text import join_surrogate_stream

P = ParamSpec("P")
R = TypeVar("R")


class Timed:
    """`ms`: milliseconds by stage."""

    def __init__(self, deadline: Deadline, timeout_s: float, ms: dict[str, float]) -> None:
        """timeout_s: that the generator may take in all. ms: what was needed before."""
        self.deadline, self.ms = deadline, dict(ms)
        self._timeout_s = timeout_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that passes to a stage's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + 1000 * (time.perf_counter() - start)

    async def text(self, written: AsyncGenerator[str, None], name: str) -> AsyncGenerator[str, None]:
        """What a generator writes. Raises GenerationError and DeadlineExceeded where it takes too long."""
        stream = join_surrogate_stream(written)  # whoever wrote it: what is no Unicode cannot be sent on
        first = time.perf_counter()
        try:
            with self.stage("generation"):
                while True:
                    try:
                        delta = await self._before(anext(stream), first, name)
                    except StopAsyncIteration:
                        return
                    self.ms.setdefault("first_token", 1000 * (time.perf_counter() - first))
                    yield delta
        finally:
            await stream.aclose()

    async def one(self, work: Awaitable[R], name: str) -> R:
        """The same for what a generator gives at once."""
        with self.stage("generation"):
            found = await self._before(work, time.perf_counter(), name)
        self.ms.setdefault("first_token", self.ms["generation"])
        return found

    async def _before(self, work: Awaitable[R], start: float, name: str) -> R:
        self.deadline.check()
        spent = self.ms.get("generation", 0.0) / 1000 + time.perf_counter() - start
        remaining, left = self._timeout_s - spent, self.deadline.left
        try:
            async with asyncio.timeout(min(remaining, left)):
                return await work
        except TimeoutError as error:
            if left < remaining:
                raise DeadlineExceeded("the request took longer than it may") from error
            raise GenerationError(
                f"{name} did not finish within {self._timeout_s:g} seconds",
                hint="Raise timeout_s, or lower max_tokens.",
            ) from error

    async def in_thread(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What computes. Raises DeadlineExceeded."""

        def working() -> R:
            with within(self.deadline):
                return work(*args, **kwargs)

        self.deadline.check()
        left = self.deadline.left
        thread = asyncio.ensure_future(asyncio.to_thread(working))
        try:
            done, _ = await asyncio.wait([thread], timeout=None if math.isinf(left) else left)
            if not done:
                raise DeadlineExceeded("the request took longer than it may")
            return thread.result()
        finally:
            thread.cancel()  # nobody reads what it still finds
