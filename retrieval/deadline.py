"""When the work of a request ends: its time is over, or nobody waits for it any more.

Nothing can stop a thread from outside, so every stage looks in each of its loops, some milliseconds apart.
The deadline in force is a context variable: what computes needs no argument for it, and where there is none,
as in a build or a notebook, a look costs a tenth of a microsecond. A thread that a stage starts is handed it.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

from retrieval.errors import DeadlineExceeded

P = ParamSpec("P")
R = TypeVar("R")
Callback = Callable[[], object]
_WAITED_S = 0.05  # between two looks at the time while another thread works


class Deadline:
    """A time, of time.monotonic(), that may be cancelled before. Safe to use from several threads."""

    def __init__(self, at: float = math.inf, of: Sequence["Deadline"] = ()) -> None:
        """of: those that the work is for; it ends with the last of them, if not before."""
        self.at = at
        self._of = tuple(of)
        self._cancelled = False
        self._callbacks: list[Callback] = []
        self._lock = Lock()
        for one in self._of:
            one._tell(self._follow)

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until the end, 0 from then on; infinite where there is none."""
        if self._cancelled:
            return 0.0
        own = max(0.0, self.at - time.monotonic())
        return min(own, max(one.left for one in self._of)) if self._of else own

    @property
    def over(self) -> bool:
        """Whether the work has to end."""
        if self._cancelled or time.monotonic() >= self.at:
            return True
        return bool(self._of) and all(one.over for one in self._of)

    def check(self) -> None:
        """Raises DeadlineExceeded where it is over."""
        if self.over:
            if self._cancelled:
                raise DeadlineExceeded("nobody waits for the answer any more")
            raise DeadlineExceeded("the request took longer than it may")

    def cancel(self) -> None:
        """End it now. What `calling` was given is called, in this thread."""
        with self._lock:
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    @contextmanager
    def calling(self, callback: Callback) -> Iterator[None]:
        """Have `callback` called where this is cancelled before the block ends, or was already."""
        self._tell(callback)
        try:
            yield
        finally:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

    def _tell(self, callback: Callback) -> None:
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def _follow(self) -> None:
        if all(one.over for one in self._of):
            self.cancel()


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def look() -> None:
    """Raises DeadlineExceeded where the deadline in force is over."""
    deadline = _current.get()
    if deadline is not None:
        deadline.check()


def hurried() -> bool:
    """Whether there is a deadline."""
    return _current.get() is not None


def waited(work: "Future[R]") -> R:
    """The result of work in another thread, which goes on where the deadline in force is over first."""
    while hurried() and not work.done():
        look()
        wait([work], _WAITED_S)
    return work.result()


@contextmanager
def within(deadline: Deadline | None) -> Iterator[None]:
    """Have a deadline in force in this block; None: none."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def handed(work: Callable[P, R]) -> Callable[P, R]:
    """`work` for other threads, with the deadline that is in force in this one."""
    deadline = _current.get()

    @wraps(work)
    def working(*args: P.args, **kwargs: P.kwargs) -> R:
        with within(deadline):
            return work(*args, **kwargs)

    return working


def to_the_end(work: Callable[P, R]) -> Callable[P, R]:
    """`work` without a deadline: what is loaded stays for the requests that come after."""

    @wraps(work)
    def working(*args: P.args, **kwargs: P.kwargs) -> R:
        with within(None):
            return work(*args, **kwargs)

    return working
