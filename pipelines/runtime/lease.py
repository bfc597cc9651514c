"""One builder at a time: a lease with a fencing number, kept alive by a heartbeat.

Each holder creates `lease/<number>.json`, which only one process can, and rewrites it as a heartbeat.
Whether another holder lives is judged by watching its heartbeat change, never by comparing clocks.
A holder that finds a higher number has lost the lease and must not commit.
"""

import contextlib
import getpass
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from retrieval.errors import IndexBusy, IndexDamaged, StorageError
from retrieval.storage import MOST_COUNT, Shape, Store, read_json_as

LEASE_FOLDER = "lease"
_NAME = re.compile(rf"{LEASE_FOLDER}/([0-9]{{8,12}})\.json")
HEARTBEAT_SECONDS = 5.0
LOST_AFTER_SECONDS = 30.0


class Lease:
    """A held lease. `number` grows with every holder; `check` raises IndexBusy once it is lost."""

    def __init__(self, store: Store, number: int, holder: dict[str, Any]) -> None:
        self.store = store
        self.number = number
        self._holder = holder
        self._beat = 0
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise IndexBusy if another builder has taken over."""
        newest = max(_numbers(self.store), default=self.number)
        if newest > self.number:
            who = _who(self.store, newest)
            raise IndexBusy(
                f"another builder took over {self.store.url}: {who}",
                hint="Follow it: corpusmill status " + self.store.url,
            )

    def ensure(self) -> None:
        """As `check`, but only if a heartbeat has noticed the loss: cheap enough for every result."""
        if self._lost:
            self.check()

    def release(self) -> None:
        """Let the next builder start at once."""
        self._stop.set()
        self._thread.join()
        # On a full disk or an unreachable store the lease expires instead; the error that led here counts.
        with contextlib.suppress(IndexBusy, OSError, StorageError):
            self.check()
            self.store.put(_key(self.number), json.dumps({**self._holder, "released": True}).encode())

    def _keep(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self._beat += 1
            # A missed beat is no loss: the next one follows, and `check` guards the commit.
            with contextlib.suppress(OSError, StorageError):
                self._lost = max(_numbers(self.store), default=0) > self.number
                if self._lost:
                    return
                self.store.put(_key(self.number), json.dumps({**self._holder, "beat": self._beat}).encode())


@contextlib.contextmanager
def holding_lease(store: Store, say: Callable[[str], None] = lambda _text: None) -> Iterator[Lease]:
    """Hold the lease of an index; raises IndexBusy, naming the holder, if another builder lives.

    `say` is told when that takes watching.
    """
    lease = _acquire(store, say)
    try:
        yield lease
    finally:
        lease.release()


def lease_holder(store: Store) -> dict[str, Any] | None:
    """Who holds the lease according to its file, None if nobody does. It may be dead: see `lives`."""
    numbers = _numbers(store)
    value = _read(store, max(numbers)) if numbers else None
    return None if value is None or value.get("released") else value


def holder_lives(store: Store, seconds: float = LOST_AFTER_SECONDS) -> bool:
    """Watch the holder's heartbeat for at most `seconds`; False once the holder is known to be dead."""
    first = lease_holder(store)
    if first is None or dead_here(first):
        return False
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(min(1.0, seconds / 10))
        now = lease_holder(store)
        if now is None:
            return False
        if now != first:
            return True
    return False


def _acquire(store: Store, say: Callable[[str], None]) -> Lease:
    older = _numbers(store)  # before the look at the holder: whoever acquires since then takes our number
    current = lease_holder(store)
    if current is not None and not dead_here(current):
        say(f"Another builder may be at work ({_describe(current)}): watching its heartbeat.")
    if holder_lives(store):
        raise _busy(store, _describe(lease_holder(store)))
    me = {
        "holder": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot": _boot_id(),
        "user": getpass.getuser() if os.environ.get("USER") or os.name == "nt" else str(os.getuid()),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "beat": 0,
    }
    number = max(older, default=0) + 1
    if not store.create(_key(number), json.dumps(me).encode()):
        raise _busy(store, _who(store, number))
    store.delete([_key(old) for old in older])
    return Lease(store, number, me)


class _Holder(Shape):
    holder: str = ""
    host: str
    pid: Annotated[int, Field(ge=1, lt=1 << 31)]  # what a process can have
    boot: str = ""
    user: str = ""
    since: str = ""
    beat: Annotated[int, Field(ge=0, le=MOST_COUNT)] = 0
    released: bool = False


def _read(store: Store, number: int) -> dict[str, Any] | None:
    """What a lease says of its holder, None where there is none. Raises IndexDamaged."""
    data = store.read_or_none(_key(number))
    return None if data is None else read_json_as(_Holder, data, f"{store.url}/{_key(number)}").model_dump()


def _who(store: Store, number: int) -> str:
    """Who holds a lease; that somebody does is known, whatever the object says."""
    try:
        return _describe(_read(store, number))
    except IndexDamaged:
        return "unknown"


def _busy(store: Store, who: str) -> IndexBusy:
    return IndexBusy(
        f"another builder is at work on {store.url}: {who}",
        hint=f"Follow it: corpusmill status {store.url}",
    )


def _describe(who: dict[str, Any] | None) -> str:
    if not who:
        return "unknown"
    return f"process {who.get('pid')} of {who.get('user')} on {who.get('host')}, since {who.get('since')}"


def dead_here(who: dict[str, Any]) -> bool:
    """Whether the holder ran on this machine and is gone, which saves the wait."""
    if who.get("host") != socket.gethostname() or who.get("boot") != _boot_id() or not _boot_id():
        return False
    try:
        os.kill(int(who["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _boot_id() -> str:
    """Tells containers and machines with one host name apart; empty where the system has none."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + namespace
    except OSError:
        return ""


def _key(number: int) -> str:
    return f"{LEASE_FOLDER}/{number:08d}.json"


def _numbers(store: Store) -> list[int]:
    return [int(found[1]) for key in store.find(LEASE_FOLDER) if (found := _NAME.fullmatch(key))]
