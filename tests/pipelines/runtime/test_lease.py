"""One builder at a time: a living holder keeps the lease, a dead one loses it, a fenced one notices."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.runtime import lease as leases
from retrieval.errors import IndexBusy
from retrieval.storage.store import Store

HOLD = """
import sys, time
from pipelines.runtime import lease
from retrieval.storage import Store
lease.HEARTBEAT_SECONDS = 0.2
with lease.holding_lease(Store(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_living_builder_is_named_and_a_killed_one_replaced_at_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    process = hold(tmp_path)
    try:
        with pytest.raises(IndexBusy, match=f"process {process.pid} "), leases.holding_lease(store):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    began = time.monotonic()
    with leases.holding_lease(store) as lease:
        assert lease.number == 2
        lease.check()
    assert time.monotonic() - began < 5


def test_a_silent_holder_on_another_host_expires(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.put(
        "lease/00000007.json", json.dumps({"holder": "x", "host": "elsewhere", "pid": 1, "beat": 3}).encode()
    )
    assert leases.holder_lives(store, seconds=0.5) is False
    assert leases.lease_holder(store) is not None


def test_a_beating_holder_on_another_host_lives(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        key = tmp_path / "lease" / "00000001.json"
        value = json.loads(key.read_text())
        # The same process, seen as if on another machine: only its heartbeat tells that it lives.
        foreign = leases.dead_here({**value, "host": "elsewhere"})
        assert foreign is False
        assert leases.holder_lives(Store(str(tmp_path)), seconds=5) is True
    finally:
        process.kill()
        process.wait()


def test_a_fenced_builder_must_not_commit(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with leases.holding_lease(store) as lease:
        store.create(
            f"lease/{lease.number + 1:08d}.json", json.dumps({"pid": os.getpid(), "host": "other"}).encode()
        )
        with pytest.raises(IndexBusy, match="took over"):
            lease.check()


def test_a_heartbeat_notices_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.1)
    store = Store(str(tmp_path))
    with leases.holding_lease(store) as lease:
        lease.ensure()
        store.create(
            f"lease/{lease.number + 1:08d}.json", json.dumps({"pid": os.getpid(), "host": "other"}).encode()
        )

        def wait_for_the_loss() -> None:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                lease.ensure()
                time.sleep(0.05)

        with pytest.raises(IndexBusy, match="took over"):
            wait_for_the_loss()


def test_a_released_lease_is_free(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for number in (1, 2, 3):
        with leases.holding_lease(store) as lease:
            assert lease.number == number
    assert leases.lease_holder(store) is None
    assert len(store.find("lease")) == 1
