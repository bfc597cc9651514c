"""The service itself, without HTTP: which version answers, how many requests at a time, and for how long."""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from retrieval.deadline import Deadline, within
from retrieval.errors import ConfigError, CorpusmillError, DeadlineExceeded, IndexDamaged, StorageError
from retrieval.manifest import versions
from retrieval.search.result import Result
from retrieval.serve.answering import Answers
from retrieval.serve.backends import Backend
from retrieval.serve.errors import Overloaded, Unavailable
from retrieval.serve.metrics import Metrics
from retrieval.serve.pieces import pool
from retrieval.serve.proof import opening
from retrieval.serve.searching import Ask, Searching, computed
from retrieval.serve.settings import ServeSettings

T = TypeVar("T")
log = logging.getLogger("ray.serve")
START_S = 600  # that the parts of the service may need until they answer, together
RETRY_S = 1
CANARY_S = 60
GAUGES_S = 5
CANARY_CHARACTERS = 200
EARLIER = 3  # versions that a start tries where the latest cannot be served


@dataclass(frozen=True)
class Refused:
    """A version that could not be served, and why."""

    version: int
    why: str
    again: bool  # the version itself may be whole


class Service:
    """Answers by one version at a time. Lives in the event loop of an ingress replica."""

    def __init__(self, settings: ServeSettings, backend: Backend, answers: Answers) -> None:
        self.settings = settings
        self.backend = backend
        self.answers = answers
        self.metrics = Metrics()
        self.version = 0  # before the first is open
        self.under_way = 0  # requests that are worked on or wait
        self.slow = 0  # those of them that take long
        self.refused: Refused | None = None
        self._pool = pool(settings, "search")
        self._slow = pool(settings, "slow", settings.limits.slow)
        self._searching = Searching(settings, backend.use, self._pool, self._slow)
        self._swapping = asyncio.Lock()
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the latest version that can be served, and look for newer ones. Raises CorpusmillError."""
        latest = await asyncio.to_thread(self.backend.place.latest)
        if latest is None:
            url = self.backend.place.store.url
            raise ConfigError(
                f"{url} holds no committed index",
                hint=f"Build it: corpusmill build --corpus PATH --index {url}",
            )
        await self._first(latest)
        self._watchers = [asyncio.create_task(self._watch()), asyncio.create_task(self._refresh())]

    async def _first(self, latest: int) -> None:
        """Open a version for the beginning. The other parts may start more slowly: they are waited for."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return await self.swap(latest)
            except CorpusmillError:
                again = self.refused is not None and self.refused.again
                if again and time.monotonic() < deadline:
                    await asyncio.sleep(RETRY_S)
                    continue
                if not again:
                    await self._fall_back(latest)
                if not self.version:
                    raise
                return

    async def _fall_back(self, latest: int) -> None:
        """Answer by the newest of the versions before the latest that can be served, if there is one."""
        with contextlib.suppress(StorageError):
            earlier = await asyncio.to_thread(versions, self.backend.place.store)
            for version in [number for number in reversed(earlier) if number < latest][:EARLIER]:
                try:
                    await self._open(version)
                    return
                except CorpusmillError as error:
                    self.backend.drop(version)
                    log.error("version %s cannot be served either: %s", version, error.message)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """A place among the requests that are under way. Raises Overloaded."""
        limits = self.settings.limits
        if self.under_way >= limits.running + limits.waiting:
            raise Overloaded(
                f"{self.under_way} requests are under way, more are not taken (limits.waiting)",
                hint="Try again in a second.",
            )
        self.under_way += 1
        self.metrics.under_way.set(self.under_way)
        try:
            yield
        finally:
            self.under_way -= 1
            self.metrics.under_way.set(self.under_way)

    @contextlib.contextmanager
    def slow_turn(self) -> Iterator[None]:
        """A place among those that take long: half of what may wait is kept for others. Raises Overloaded."""
        limits = self.settings.limits
        if self.slow >= limits.slow + limits.waiting // 2:
            raise Overloaded(
                f"{self.slow} requests that take long are under way, more are not taken (limits.waiting)",
                hint="Try again in a second.",
            )
        self.slow += 1
        try:
            yield
        finally:
            self.slow -= 1

    async def run(
        self, work: Callable[[Deadline], Awaitable[T]], timeout_s: float | None = None,
        whole: Deadline | None = None,
    ) -> T:  # fmt: skip
        """`work`, given its deadline, unless too many requests are under way. whole: that of a request of
        which this is a part.

        When this ends, however it does, the deadline is cancelled. The work ends at its next look, and counts
        until then: leaving makes no room for more. Raises Overloaded, DeadlineExceeded.
        """
        limit = self.settings.limits.timeout_s
        until = time.monotonic() + min(limit, timeout_s or limit)
        deadline = Deadline(until, of=[whole] if whole else [])

        async def counted() -> T:
            with self.turn():
                return await work(deadline)

        task = asyncio.ensure_future(counted())
        task.add_done_callback(_read)
        try:
            return await asyncio.wait_for(asyncio.shield(task), deadline.left)
        except TimeoutError as error:
            raise DeadlineExceeded("the request took longer than it may") from error
        finally:
            deadline.cancel()

    async def in_thread(self, deadline: Deadline, work: Callable[[], T], *, slow: bool = False) -> T:
        """Something that computes, in one of `limits.running` threads, or of `limits.slow`.

        Raises DeadlineExceeded, Overloaded.
        """

        def in_time() -> T:
            deadline.check()
            with within(deadline):
                return work()

        run = contextvars.copy_context().run  # request ids and traces go on in the thread
        with self.slow_turn() if slow else contextlib.nullcontext():
            future = (self._slow if slow else self._pool).submit(run, in_time)
            with deadline.calling(future.cancel):  # where it still waits for a thread
                return await asyncio.wrap_future(future)

    async def search(
        self, queries: list[str], deadline: Deadline, *, require_full: bool = False, **asked: Any
    ) -> list[Result]:
        """Results of queries, all by the version that is current now.

        asked: arguments of QueryPath.batch. Raises what that raises, TooLarge, and Unavailable where shards
        are missing from an answer that was to be full, or all of them.
        """
        version = self.version
        if self.settings.log_queries:
            log.info("queries: %s", ascii(queries))
        with self.backend.use(version, deadline) as path:  # it stays open until the answer is there
            options = {name: value for name, value in asked.items() if name != "explain"}
            checked = path.options(**options)  # what cannot be searched is told before it waits
            read = computed(self.settings.limits, checked, len(queries), path.manifest)
            ask = Ask(version, queries, asked, deadline, read)
            with self.slow_turn() if self._searching.is_slow(ask) else contextlib.nullcontext():
                results = await self._searching.search(ask)
        self.metrics.answered(results)
        for result in results:
            coverage = result.coverage
            if coverage.missing and (require_full or not coverage.searched):
                raise Unavailable(
                    f"{coverage.searched:,} of {coverage.passages:,} passages could be searched",
                    hint="Try again, or take a partial answer: require_full: false." if require_full else "",
                )
        return results

    async def swap(self, version: int) -> None:
        """Open and prove a version beside the current one, then answer by it. On failure nothing changes.

        Raises CorpusmillError.
        """
        async with self._swapping:
            if version == self.version:
                return
            try:
                await self._open(version)
            except CorpusmillError as error:
                again = isinstance(error, Unavailable | Overloaded | DeadlineExceeded | StorageError)
                self._refuse(Refused(version, error.message, again))
                if not again:
                    self.backend.drop(version)  # it may be open in parts
                log.error(
                    "version %s is refused, %s stays: %s", version, self.version or "none", error.message
                )
                raise
            if self.refused is not None and self.refused.version != version:
                self.backend.drop(self.refused.version)
            self._refuse(None)

    def _refuse(self, refused: Refused | None) -> None:
        self.refused = refused
        self.metrics.refused.set(refused.version if refused else 0)

    async def _open(self, version: int) -> None:
        """Open, prove and take a version. Raises CorpusmillError, and then nothing has changed."""
        with opening(version):
            await self.backend.prepare(version)
            await self._canary(version)
        old, self.version = self.version, version
        self.metrics.version.set(version)
        log.info("version %s answers, after %s", version, old or "none")
        if old:
            self.backend.drop(old)

    async def _canary(self, version: int) -> None:
        """Search for the beginning of a passage of the version itself, through every part of the service."""
        deadline = Deadline.after(CANARY_S)
        with self.backend.use(version, deadline) as path:
            first = await self.in_thread(deadline, partial(path.passages, np.zeros((1, 1), np.int64)))
            texts = [passage.text[:CANARY_CHARACTERS] for passage in first.values()]
            if not texts or not texts[0].strip("\0 \n\t"):
                return
            search = partial(path.batch, texts, 1, rerank="none")
            results = await self.in_thread(deadline, search)
        if not results[0].coverage.full:
            raise Unavailable(f"version {version} is not open everywhere: {results[0].coverage.missing}")
        if not results[0].hits:
            raise IndexDamaged(f"version {version} does not find its own first passage")

    async def _refresh(self) -> None:
        """Set what seldom changes again and again: Ray forgets a gauge that was not set for some seconds."""
        while True:
            self.metrics.version.set(self.version)
            self.metrics.refused.set(self.refused.version if self.refused else 0)
            self.metrics.under_way.set(self.under_way)
            await asyncio.sleep(GAUGES_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.settings.watch_s)
            try:
                latest = await asyncio.to_thread(self.backend.place.latest)
                tried = self.refused.version if self.refused and not self.refused.again else None
                if latest == self.version and self.refused:
                    self._refuse(None)  # it is not asked for any more
                if latest is not None and latest not in (self.version, tried):
                    await self.swap(latest)
            except CorpusmillError:
                continue  # swap has told; an unreachable store stays as it was
            except Exception:  # whatever it is, the next version is looked for
                log.exception("looking for a new version failed")


def _read(task: "asyncio.Task[Any]") -> None:
    """Whoever asked may be gone: no exception is left unread."""
    if not task.cancelled():
        task.exception()
