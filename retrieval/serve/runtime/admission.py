"""How many requests may be under way: worked on, or waiting."""

from collections.abc import Iterator
from contextlib import contextmanager

from retrieval.serve.errors import Overloaded
from retrieval.serve.metrics import Metrics
from retrieval.serve.settings import Limits


class Admission:
    """Places for requests, `under_way` and of those `slow`. Used in one event loop."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.under_way = 0
        self.slow = 0
        self._limits = limits
        self._metrics = metrics

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A place among the requests that are under way. Raises Overloaded."""
        if self.under_way >= self._limits.running + self._limits.waiting:
            raise Overloaded(
                f"{self.under_way} requests are under way, more are not taken (limits.waiting)",
                hint="Try again in a second.",
            )
        self.under_way += 1
        self._metrics.under_way.set(self.under_way)
        try:
            yield
        finally:
            self.under_way -= 1
            self._metrics.under_way.set(self.under_way)

    @contextmanager
    def slow_turn(self) -> Iterator[None]:
        """A place among those that take long: half of what may wait is kept for others. Raises Overloaded."""
        if self.slow >= self._limits.slow + self._limits.waiting // 2:
            raise Overloaded(
                f"{self.slow} requests that take long are under way, more are not taken (limits.waiting)",
                hint="Try again in a second.",
            )
        self.slow += 1
        try:
            yield
        finally:
            self.slow -= 1
