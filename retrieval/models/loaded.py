"""Models in memory: each is loaded once for all that use it, and kept as long as one of them does.

A model is asked for by a key of everything that makes it what it is: the fingerprint of its files, device and
precision, and what the caller allows it. Who waits for a model waits for that one alone.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from threading import Lock, Thread
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from retrieval.deadline import hurried, waited

T = TypeVar("T")


class LoadedModels:
    """What is in memory, by key. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()  # of the two tables, never held while something is loaded
        self._loaded: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._loading: dict[Hashable, Future[Any]] = {}

    def __len__(self) -> int:
        """How many somebody uses."""
        return len(self._loaded)

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """What is loaded under `key`, else what `load` gives, which all who wait for it get.

        Loading goes on to its end, whatever becomes of the request that began it. Raises DeadlineExceeded
        where a caller's time is over first, and what `load` raises; it is then called anew for the next one.
        """
        while True:
            found, future, first = self._find(key)
            if future is None:
                result: T = found
                return result
            if first and hurried():
                Thread(target=self._load, args=(key, load, future), name="load model").start()
            elif first:
                self._load(key, load, future)
            try:
                result = waited(future)
                return result
            except CancelledError:  # whoever loaded it was interrupted, as from a keyboard
                continue

    def _find(self, key: Hashable) -> tuple[Any, Future[Any] | None, bool]:
        """What is loaded, or the future of what is not, and whether the caller has to load it."""
        with self._lock:
            found = self._loaded.get(key)
            if found is not None:
                return found, None, False
            future = self._loading.get(key)
            if future is not None:
                return None, future, False
            self._loading[key] = future = Future()
            return None, future, True

    def _load(self, key: Hashable, load: Callable[[], T], future: "Future[T]") -> None:
        try:
            value = load()
        except Exception as error:
            self._end(key)
            future.set_exception(error)
        except BaseException:
            self._end(key)
            future.cancel()
            raise
        else:
            self._end(key, value)
            future.set_result(value)

    def _end(self, key: Hashable, value: Any = None) -> None:
        with self._lock:
            del self._loading[key]
            if value is not None:
                self._loaded[key] = value


LOADED = LoadedModels()  # of this process
