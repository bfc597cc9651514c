"""Requests without a key, one at a time: a flood of them leaves the processor to those who have one."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

PAUSE_S = 0.004
REST = 7  # times as long as a request took is the pause after it, at least
BURST_S = 0.5  # of pauses that are left out after a quiet time: a page brings some twenty files


class Turns:
    """Begins what waits, oldest first, with pauses between."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[object, Callable[[], None]]] = deque()
        self._whose: object = None
        self._began = 0.0
        self._due = 0.0  # when all pauses are over
        self._resting = False

    def ask(self, whose: object, begin: Callable[[], None]) -> None:
        """Call `begin` when it is its turn, which ends with `over`."""
        self._waiting.append((whose, begin))
        self._next()

    def over(self, whose: object) -> None:
        """Who had the turn needs it no more; without a turn, nor one to come, nothing happens."""
        if whose is not self._whose:
            return
        self._whose, self._resting = None, True
        now = time.monotonic()
        self._due = max(self._due, now - BURST_S) + max(PAUSE_S, REST * (now - self._began))
        asyncio.get_running_loop().call_later(max(0.0, self._due - now), self._rested)

    def leave(self, whose: object) -> None:
        """Who is gone waits no more."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] is not whose)
        self.over(whose)

    def _rested(self) -> None:
        self._resting = False
        self._next()

    def _next(self) -> None:
        if self._whose is None and not self._resting and self._waiting:
            self._whose, begin = self._waiting.popleft()
            self._began = time.monotonic()
            begin()
