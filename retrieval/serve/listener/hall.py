"""What the connections of a listener share: places, rules, and the clock."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Protocol

from retrieval.errors import CorpusmillError
from retrieval.serve.errors import Overloaded
from retrieval.serve.http import is_loopback
from retrieval.serve.listener.refusal import refusal
from retrieval.serve.listener.rules import Rules
from retrieval.serve.listener.turns import Turns
from retrieval.serve.metrics import Metrics
from retrieval.serve.settings import Limits

SWEEP_S = 0.5
GRACE_S = 0.25  # in which a new connection may show its key, even in a rush of others
RUSH = 2  # times as many as have places are there at most then
PARTING_S = 2  # for a client to see why it was refused, before the connection breaks


class Guest(Protocol):
    """A connection, as the hall sees it."""

    since: float  # when it came its last step further, of time.monotonic()

    @property
    def answering(self) -> bool:
        """Whether a request of it is being answered."""

    @property
    def patience(self) -> float:
        """Seconds that its next step may take."""

    def abort(self) -> None:
        """End it at once."""

    def expire(self) -> None:
        """End it for having taken too long."""


class Hall:
    """Keeps a share of the places for connections that have shown a key.

    In each share the connections stand in the order of their last step: a connection, a head, a body, an
    answer. Bytes alone are no step, so that what trickles counts as stalled.
    """

    def __init__(
        self, limits: Limits, rules: Rules, metrics: Metrics, *, free: bool, origins: Collection[str]
    ) -> None:
        """free: whether this machine needs no key. origins: of web pages that may see a refusal."""
        self.limits = limits
        self.rules = rules
        self.turns = Turns()
        self.arriving = 0  # bytes of bodies under way
        self._metrics = metrics
        self._free = free
        self._origins = frozenset(origins)
        self._strangers: OrderedDict[Guest, None] = OrderedDict()
        self._known: OrderedDict[Guest, None] = OrderedDict()
        self._places = {False: limits.strangers, True: limits.connections - limits.strangers}
        self._shortest = min(PARTING_S, limits.head_s, limits.body_s, limits.taking_s, limits.idle_s)

    def is_free(self, client: tuple[str, int] | None) -> bool:
        """Whether whoever connects from there needs no key."""
        return self._free and client is not None and is_loopback(client[0])

    def refusal(self, error: CorpusmillError, headers: Mapping[bytes, bytes]) -> bytes:
        """The answer to a request that is not taken; it is counted."""
        status, answer = refusal(error, headers, self._origins)
        self._metrics.request("none", status, 0)
        return answer

    def crowded(self) -> Overloaded:
        """The error of a body for which there is no room."""
        return Overloaded(
            f"bodies of {self.limits.arriving_bytes:,} bytes are arriving already (limits.arriving_bytes)",
            hint="Try again in a second.",
        )

    def begin(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        """Look after the connections from now on. most: of them; both shares shrink to that."""
        share = min(1.0, most / self.limits.connections)
        self._places = {known: max(1, int(places * share)) for known, places in self._places.items()}

        def again() -> None:
            self.sweep(time.monotonic())
            loop.call_later(SWEEP_S, again)

        loop.call_later(SWEEP_S, again)

    def enter(self, connection: Guest, known: bool) -> None:
        """Give a connection a place among those that are known, or the others; who stands still longest gives
        way. Raises Overloaded where all of those who are known are being answered."""
        places = self._known if known else self._strangers
        if connection in places:
            return
        most = self._places[known]
        if len(places) >= most and not (places is self._strangers and self._rush(time.monotonic())):
            self._give_way(places, known)
        self.leave(connection)
        places[connection] = None

    def _rush(self, now: float) -> bool:
        """Whether strangers come so fast that the oldest has not had its time yet, and one more may come."""
        oldest = next(iter(self._strangers))
        return now - oldest.since <= GRACE_S and len(self._strangers) < RUSH * self._places[False]

    def _give_way(self, places: OrderedDict[Guest, None], known: bool) -> None:
        first = next((found for found in places if not (known and found.answering)), None)
        if first is None:
            raise Overloaded(
                f"{len(places):,} connections are being answered, more are not taken (limits.connections)",
                hint="Try again in a second.",
            )
        del places[first]  # its goodbye comes later
        first.abort()

    def leave(self, connection: Guest) -> None:
        """Free the place of a connection."""
        self._known.pop(connection, None)
        self._strangers.pop(connection, None)

    def changed(self, connection: Guest) -> None:
        """A connection has come a step further."""
        places = self._known if connection in self._known else self._strangers
        if connection in places:
            places.move_to_end(connection)

    def sweep(self, now: float) -> None:
        """End what has taken too long, or is too many after a rush."""
        while len(self._strangers) > self._places[False] and not self._rush(now):
            self._give_way(self._strangers, False)
        for places in (self._strangers, self._known):
            for connection in list(places):
                if now - connection.since <= self._shortest:
                    break  # all after it have come further since
                if now - connection.since > connection.patience:
                    connection.expire()
