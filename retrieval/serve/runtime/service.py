"""The service itself, without HTTP: which version answers, how many requests at a time, and for how long."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from retrieval.deadline import Deadline, within
from retrieval.errors import ConfigError, CorpusmillError, DeadlineExceeded, StorageError
from retrieval.format import committed_versions
from retrieval.results import Result
from retrieval.serve.errors import Incomplete, Overloaded, Unavailable, checking
from retrieval.serve.logs import log
from retrieval.serve.metrics import Metrics
from retrieval.serve.runtime.admission import Admission
from retrieval.serve.runtime.answering import Answers
from retrieval.serve.runtime.backend import Backend
from retrieval.serve.runtime.health import Health, Latest, RefusedVersion
from retrieval.serve.runtime.searching import Ask, Searching, computed
from retrieval.serve.runtime.served_index import thread_pool
from retrieval.serve.runtime.startup_checks import check_search, opening_version, probe, tell_unknown_date
from retrieval.serve.settings import ServeSettings

T = TypeVar("T")
START_S = 600  # that the parts of the service may need until they answer, together
RETRY_S = 1
CANARY_S = 60
GAUGES_S = 5
EARLIER = 3  # versions that a start tries where the latest cannot be served


class Service:
    """Answers by one version at a time. Lives in the event loop of an ingress replica."""

    def __init__(self, settings: ServeSettings, backend: Backend, answers: Answers) -> None:
        self.settings = settings
        self.backend = backend
        self.answers = answers
        self.metrics = Metrics()
        self.version = 0  # before the first is open
        self.admission = Admission(settings.limits, self.metrics)
        self.refused: RefusedVersion | None = None
        self.latest = Latest(backend.index)
        self.health = Health(self._probe)
        self._pool = thread_pool(settings, "search")
        self._slow = thread_pool(settings, "slow", settings.limits.slow)
        self._searching = Searching(settings, backend.use, self._pool, self._slow)
        self._swapping = asyncio.Lock()
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the latest version that can be served, and look for newer ones. Raises CorpusmillError."""
        latest = await asyncio.to_thread(self.backend.index.latest)
        if latest is None:
            url = self.backend.index.store.url
            raise ConfigError(
                f"{url} holds no committed index",
                hint=f"Build it: corpusmill build --corpus PATH --index {url}",
            )
        await self._first(latest)
        work = (self._watch(), self._refresh(), self.health.watch())
        self._watchers = [asyncio.create_task(one) for one in work]

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
            earlier = await asyncio.to_thread(committed_versions, self.backend.index.store)
            for version in [number for number in reversed(earlier) if number < latest][:EARLIER]:
                try:
                    await self._open(version)
                    return
                except CorpusmillError as error:
                    self.backend.drop(version)
                    log.error("version %s cannot be served either: %s", version, error)

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
            with self.admission.turn():
                return await work(deadline)

        task = asyncio.ensure_future(counted())
        task.add_done_callback(_read)
        try:
            return await asyncio.wait_for(asyncio.shield(task), deadline.left)
        except TimeoutError as error:
            late = DeadlineExceeded("the request took longer than it may")
            self.health.bad(late)  # it may be that nothing answers any more
            raise late from error
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
        with self.admission.slow_turn() if slow else contextlib.nullcontext():
            future = (self._slow if slow else self._pool).submit(run, in_time)
            with deadline.calling(future.cancel):  # where it still waits for a thread
                return await asyncio.wrap_future(future)

    async def search(
        self, queries: list[str], deadline: Deadline, *, require_full: bool = False,
        version: int | None = None, **asked: Any,
    ) -> list[Result]:  # fmt: skip
        """Results of queries, all by one version; default: the one that is current now.

        asked: arguments of QueryPath.batch. Raises what that raises, BadRequest for what cannot be asked,
        TooLarge, and Incomplete where shards are missing from an answer that was to be full, or all of them.
        """
        version = version or self.version
        if self.settings.log_queries:
            log.info("queries: %s", ascii(queries))
        try:
            with self.backend.use(version, deadline) as path:  # it stays open until the answer is there
                options = {name: value for name, value in asked.items() if name != "explain"}
                with checking():
                    checked = path.options(**options)  # what cannot be searched is told before it waits
                read = computed(self.settings.limits, checked, len(queries), path.manifest)
                ask = Ask(version, queries, asked, deadline, read)
                with self.admission.slow_turn() if self._searching.is_slow(ask) else contextlib.nullcontext():
                    results = await self._searching.search(ask)
        except Exception as error:
            self.health.bad(error)
            raise
        self.metrics.answered(results)
        if any(result.coverage.searched or not result.coverage.missing for result in results):
            self.health.good()
        else:
            self.health.bad(Unavailable("no shard answers"))
        for result in results:
            coverage = result.coverage
            if coverage.missing and (require_full or not coverage.searched):
                raise Incomplete(
                    f"{coverage.searched:,} of {coverage.passages:,} passages could be searched",
                    hint="Try again, or take a partial answer: require_full: false." if require_full else "",
                )
        return results

    async def take(self, version: int) -> None:
        """Swap, whether or not whoever asks for it stays.

        Raises what `swap` raises, and Unavailable where another one takes longer than a request may wait.
        """
        try:
            async with asyncio.timeout(self.settings.limits.timeout_s):
                async with self._swapping:
                    pass
        except TimeoutError as error:
            raise Unavailable("another version is being opened", hint="Ask again when it is done.") from error
        await asyncio.shield(asyncio.ensure_future(self.swap(version)))

    async def swap(self, version: int) -> None:
        """Open and prove a version beside the current one, then answer by it. On failure nothing changes.

        Raises CorpusmillError.
        """
        async with self._swapping:
            if version == self.version:
                self._refuse(None)  # another one is not asked for any more
                return
            try:
                await self._open(version)
            except CorpusmillError as error:
                again = isinstance(error, Unavailable | Overloaded | DeadlineExceeded | StorageError)
                self._refuse(RefusedVersion(version, error, again))
                if not again:
                    self.backend.drop(version)  # it may be open in parts
                raise
            if self.refused is not None and self.refused.version != version:
                self.backend.drop(self.refused.version)
            self._refuse(None)

    def _refuse(self, refused: RefusedVersion | None) -> None:
        old, self.refused = self.refused, refused
        if refused and (old is None or (old.version, old.why) != (refused.version, refused.why)):
            stays, why = self.version or "none", refused.error
            log.error("version %s is refused, %s stays: %s", refused.version, stays, why)
        self._tell()

    async def _open(self, version: int) -> None:
        """Open, prove and take a version. Raises CorpusmillError, and then nothing has changed."""
        with opening_version(version):
            await self.backend.prepare(version)
            await self._canary(version)
        old, self.version = self.version, version
        self.health.good()
        self._tell()
        log.info("version %s answers, after %s", version, old or "none")
        if old:
            self.backend.drop(old)

    async def _canary(self, version: int) -> None:
        """Search through every part of the service, for a passage of the version itself."""
        deadline = Deadline.after(CANARY_S)
        with self.backend.use(version, deadline) as path:
            await self.in_thread(deadline, partial(check_search, path))
            tell_unknown_date(path.manifest, self.settings.generation.context.date)

    async def _probe(self) -> None:
        """A search that has to succeed. Raises what is wrong, also where it does not come back."""
        limit = self.settings.limits.timeout_s
        deadline = Deadline.after(limit)
        try:
            async with asyncio.timeout(limit):
                with self.backend.use(self.version, deadline) as path:
                    await self.in_thread(deadline, partial(probe, path))
        except TimeoutError as error:
            raise DeadlineExceeded("a search does not come back") from error
        finally:
            deadline.cancel()

    @property
    def ready(self) -> bool:
        """Whether a version answers, and not every search fails."""
        return bool(self.version) and self.health.problem is None

    def _tell(self) -> None:
        self.metrics.version.set(self.version)
        self.metrics.refused.set(self.refused.version if self.refused else 0)
        self.metrics.latest_problem.set(int(bool(self.latest.problem or self.refused)))
        self.metrics.ready.set(int(self.ready))

    async def _refresh(self) -> None:
        """Set what seldom changes again and again: Ray forgets a gauge that was not set for some seconds."""
        while True:
            self._tell()
            self.metrics.under_way.set(self.admission.under_way)
            await asyncio.sleep(GAUGES_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.settings.watch_s)
            try:
                latest = await self.latest.read()
                tried = self.refused.version if self.refused and not self.refused.again else None
                if latest != tried and (latest != self.version or self.refused):
                    await self.swap(latest)
            except CorpusmillError:
                continue  # it is told already, and the version that answers stays
            except Exception:  # whatever it is, the next version is looked for
                log.exception("looking for a new version failed")


def _read(task: "asyncio.Task[Any]") -> None:
    """Whoever asked may be gone: no exception is left unread."""
    if not task.cancelled():
        task.exception()
