"""Clients that ask a service side by side, and a record of every answer."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

PAUSE_S = 1.0  # before a client tries again: what Retry-After says
TIMEOUT_S = 60


@dataclass(frozen=True)
class Outcome:
    """What became of one request, retries included. status 0: the connection broke.

    began: of time.monotonic(), seconds. seconds: of the last try.
    """

    asked: dict[str, Any]
    began: float
    seconds: float
    status: int
    value: dict[str, Any]
    retry_after: str | None
    retries: int = 0


def ask(connection: http.client.HTTPConnection, asked: dict[str, Any], path: str) -> Outcome:
    """One request over a connection that is kept; a broken one is opened anew by the next request."""
    began = time.monotonic()
    try:
        connection.request("POST", path, json.dumps(asked), {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return Outcome(asked, began, time.monotonic() - began, 0, {}, None)
    seconds = time.monotonic() - began
    try:
        value = json.loads(content)
    except ValueError:
        value = {"text": content.decode(errors="replace")}
    return Outcome(asked, began, seconds, answer.status, value, answer.getheader("retry-after"))


@dataclass
class Load:
    """`clients` that ask `requests` in turn, until the block ends.

    rate: requests a second that all of them send together; without it, each sends as soon as it has its
    answer. retries: how often a client tries again after 429, 503 or a broken connection.
    """

    url: str
    requests: Sequence[dict[str, Any]]
    clients: int
    rate: float | None = None
    retries: int = 0
    path: str = "/v1/search"
    outcomes: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 10)
        assert not any(thread.is_alive() for thread in self._threads), "a client has no answer"
        self.seconds = time.monotonic() - self._began

    def since(self, moment: float) -> list[Outcome]:
        """Outcomes of requests that were sent after a moment of time.monotonic()."""
        return [outcome for outcome in list(self.outcomes) if outcome.began >= moment]

    def _client(self) -> None:
        host = urlsplit(self.url)
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=TIMEOUT_S)
        while not self._stop.is_set():
            number = next(self._numbers)
            if self.rate is not None and self._stop.wait(
                max(0.0, self._began + number / self.rate - time.monotonic())
            ):
                break
            self.outcomes.append(self._persist(connection, self.requests[number % len(self.requests)]))
        connection.close()

    def _persist(self, connection: http.client.HTTPConnection, asked: dict[str, Any]) -> Outcome:
        for retries in itertools.count():
            outcome = ask(connection, asked, self.path)
            if outcome.status not in (0, 429, 503) or retries == self.retries or self._stop.is_set():
                return Outcome(**{**vars(outcome), "retries": retries})
            time.sleep(PAUSE_S)
        raise AssertionError("not reached")


def statuses(outcomes: Sequence[Outcome]) -> dict[int, int]:
    """How often each status came."""
    return dict(sorted(Counter(outcome.status for outcome in outcomes).items()))


def percentile(outcomes: Sequence[Outcome], share: float) -> float:
    """Milliseconds that `share` percent of the requests took at most."""
    return float(np.percentile([1000 * outcome.seconds for outcome in outcomes], share))


def until(condition: Callable[[], Any], what: str, seconds: float = 60, step: float = 0.2) -> float:
    """Seconds until the condition held; fails, saying what was waited for."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"waited {seconds:.0f} s for {what}"
        time.sleep(step)
    return time.monotonic() - start
