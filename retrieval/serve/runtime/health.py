"""What is wrong with a service that runs: with what LATEST says, and with its searches."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from retrieval.errors import CorpusmillError, DeadlineExceeded, IndexDamaged, ModelError, StorageError
from retrieval.serve.errors import Overloaded, Unavailable, unexpected
from retrieval.serve.logs import log
from retrieval.serve.runtime.served_index import ServedIndex

PROBE_S = 2  # between probes, while searches fail
RECENT_S = 5  # a search that succeeded since then speaks against what one probe says
WINDOW_S = 30
MANY = 10  # failures of a window that a good probe does not outweigh: what is asked fails, if not the probe
_DAMAGE = (IndexDamaged, StorageError, ModelError, Unavailable)


@dataclass(frozen=True)
class RefusedVersion:
    """A version that could not be served, and why."""

    version: int
    error: CorpusmillError
    again: bool  # the version itself may be whole

    @property
    def why(self) -> str:
        """The error's message, which may name files."""
        return self.error.message


class Latest:
    """The version that LATEST names. `problem`: why that cannot be told now."""

    def __init__(self, index: ServedIndex) -> None:
        self.problem: CorpusmillError | None = None
        self._index = index

    async def read(self) -> int:
        """The version. Raises IndexDamaged where LATEST is gone or no version, StorageError."""
        try:
            version = await asyncio.to_thread(self._index.latest)
            if version is None:
                raise IndexDamaged(f"{self._index.store.url} has no LATEST any more")
        except CorpusmillError as error:
            self._set(error)
            raise
        except Exception as error:  # whatever a file system or a client of object storage raises
            told = StorageError(f"LATEST cannot be read: {type(error).__name__}: {error}")
            self._set(told)
            raise told from error
        self._set(None)
        return version

    def _set(self, problem: CorpusmillError | None) -> None:
        """Log a change: a message of storage may have something new in it each time."""
        old, self.problem = self.problem, problem
        if problem is None and old is not None:
            log.info("LATEST names a version again")
        elif problem is not None and _kind(problem) != _kind(old):
            log.error("LATEST cannot be followed: %s", problem)


class Health:
    """Searches are told as `good` or `bad`; `problem` is set while all of them fail.

    One that fails among others that succeed changes nothing, nor does one that a probe contradicts. A search
    or a probe that succeeds clears the problem.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]]) -> None:
        """probe: a search that has to succeed; it raises what is wrong."""
        self.problem: CorpusmillError | None = None
        self._probe = probe
        self._failed: list[tuple[float, CorpusmillError]] = []  # the last ones since a search succeeded
        self._good_at = 0.0
        self._doubt = asyncio.Event()

    def good(self) -> None:
        """A search succeeded."""
        self._good_at = time.monotonic()
        self._forget()

    def bad(self, error: Exception) -> None:
        """A search failed. Nothing is concluded from errors of the request, or of too many."""
        ours = error if isinstance(error, CorpusmillError) else unexpected(error)
        if type(ours) is CorpusmillError or isinstance(ours, (*_DAMAGE, DeadlineExceeded)):
            self._failed = [*self._failed[1 - MANY :], (time.monotonic(), ours)]
            self._doubt.set()

    async def watch(self) -> None:
        """Probe while searches fail. Does not return."""
        while True:
            await self._doubt.wait()
            await self._look()
            await asyncio.sleep(PROBE_S)

    async def _look(self) -> None:
        try:
            await self._probe()
        except Overloaded:
            return  # nothing can be concluded
        except Exception as error:
            found = error if isinstance(error, CorpusmillError) else unexpected(error)
            if self._doubt.is_set() and time.monotonic() - self._good_at > RECENT_S:
                self._set(found)
            return
        since = time.monotonic() - WINDOW_S
        # Whoever asks may allow too little time: that alone says nothing of the service.
        failed = [e for when, e in self._failed if when > since and not isinstance(e, DeadlineExceeded)]
        if len(failed) >= MANY:
            self._set(failed[-1])
        elif failed:
            self._set(None)
        else:
            self._forget()

    def _forget(self) -> None:
        self._failed.clear()
        self._doubt.clear()
        self._set(None)

    def _set(self, problem: CorpusmillError | None) -> None:
        old, self.problem = self.problem, problem
        if problem is None and old is not None:
            log.info("searches succeed again")
        elif problem is not None and _kind(problem) != _kind(old):
            log.error("every search fails: %s: %s", type(problem).__name__, problem)


def _kind(problem: CorpusmillError | None) -> tuple[str, str]:
    """What tells problems apart."""
    message = problem.message if isinstance(problem, IndexDamaged) else ""
    return type(problem).__name__, message
