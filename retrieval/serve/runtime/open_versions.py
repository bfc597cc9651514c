"""Open versions of an index in one process: opened once, used by many, closed when nobody uses them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 3  # open at a time, if the others are not in use: the last, the one before, and one that is proved


@dataclass
class _Open(Generic[T]):
    value: T
    users: int = 0
    dropped: bool = False
    left: float = field(default_factory=time.monotonic)  # when its last user was done


class OpenVersions(Generic[T]):
    """What a process holds of each version. Safe to use from several threads."""

    def __init__(self, open_: Callable[[int], T], close: Callable[[T], None]) -> None:
        self._open = open_
        self._close = close
        self._held: dict[int, _Open[T]] = {}  # least recently used first
        self._opening: dict[int, Lock] = {}  # one for each version that was ever asked for
        self._lock = Lock()

    @contextmanager
    def use(self, version: int) -> Iterator[T]:
        """A version for as long as the block lasts, opened if need be; what opening raises is raised."""
        entry = self._take(version)
        try:
            yield entry.value
        finally:
            with self._lock:
                entry.users -= 1
                entry.left = time.monotonic()
                over = self._over()
            self._close_all(over)

    def wanted(self, version: int) -> bool:
        """Whether it is open and was not dropped."""
        with self._lock:
            return version in self._held and not self._held[version].dropped

    def idle_s(self, version: int) -> float:
        """Seconds since somebody used a version; without end where it is not open."""
        with self._lock:
            entry = self._held.get(version)
            if entry is None:
                return math.inf
            return 0.0 if entry.users else time.monotonic() - entry.left

    def keep(self, version: int) -> None:
        """Take back an earlier `drop` of a version that is to answer again."""
        with self._lock:
            if version in self._held:
                self._held[version].dropped = False

    def drop(self, version: int) -> bool:
        """Close a version as soon as its last user is done; whether it is open. It may be opened again."""
        with self._lock:
            held = version in self._held
            if held:
                self._held[version].dropped = True
            over = self._over()
        self._close_all(over)
        return held

    def _take(self, version: int) -> _Open[T]:
        with self._lock:
            opening = self._opening.setdefault(version, Lock())
        with opening:  # whoever comes while it is opened waits for it
            with self._lock:
                entry = self._held.pop(version, None)
                if entry is not None:
                    self._held[version] = entry
                    entry.users += 1
                    return entry
            entry = _Open(self._open(version), users=1)
            with self._lock:
                self._held[version] = entry
            return entry

    def _over(self) -> list[_Open[T]]:
        """Take out what is no longer wanted; under the lock."""
        idle = [number for number, entry in self._held.items() if not entry.users]
        excess = max(0, len(self._held) - MOST)
        chosen = [number for number in idle if self._held[number].dropped]
        chosen += [number for number in idle if number not in chosen][: max(0, excess - len(chosen))]
        return [self._held.pop(number) for number in chosen]

    def _close_all(self, entries: list[_Open[T]]) -> None:
        for entry in entries:
            self._close(entry.value)
