"""A thousand clients without a key that begin something and stop, of every kind, beside searches with one."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from retrieval.serve.http.access import hashed_key, new_key
from tests.tools.serving.serve_tools import Service, serving
from tests.tools.serving.stalled import KINDS, Searches, stalled

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
MANY = 1_000
SEARCHES = 200
MEMORY = 30e6


@dataclass
class Attacked:
    """A service with a key that has answered for a while."""

    service: Service
    port: int
    searches: Searches

    @property
    def process(self) -> psutil.Process:
        """What listens."""
        return self.service.replicas("ingress")[0]


@pytest.fixture(scope="module")
def attacked(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder, key = tmp_path_factory.mktemp("attacked"), new_key()
    (folder / "keys").write_text(f"search {hashed_key(key)}\n")
    with serving(served_index, folder, f"access: {{keys_file: {folder}/keys}}\n") as service:
        port = int(service.url.split(":")[-1])
        found = Attacked(service, port, Searches(port, key))
        found.searches.run(SEARCHES)
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_stalled_clients_take_nothing_from_who_has_a_key(attacked: Attacked, kind: str) -> None:
    _, before = attacked.searches.run(SEARCHES)
    with stalled(attacked.port, kind, MANY):
        share, during = attacked.searches.run(SEARCHES)
    print(f"\n{kind}: p95 {before:.1f} ms, then {during:.1f} ms, answered {share:.1%}")
    assert share >= 0.99
    assert during <= 2 * before


def test_no_memory_nor_descriptor_stays_with_stalled_clients(attacked: Attacked) -> None:
    """Of each kind in turn, then once more: what the first round took is there for the second."""
    process = attacked.process
    one_round(attacked)
    settled(process)
    memory, files = process.memory_info().rss, process.num_fds()
    most = one_round(attacked)
    settled(process)
    after = process.memory_info().rss
    print(f"\n{memory / 1e6:.0f} MB before, at most {most / 1e6:.0f}, {after / 1e6:.0f} after")
    assert most < memory + MEMORY
    assert process.num_fds() <= files + 20


def one_round(attacked: Attacked) -> int:
    """Most bytes of memory."""
    most = 0
    for kind in KINDS:
        with stalled(attacked.port, kind, MANY):
            share, _ = attacked.searches.run(20)
            assert share == 1
            most = max(most, attacked.process.memory_info().rss)
    return most


def settled(process: psutil.Process) -> None:
    """Wait until the connections are gone."""
    deadline = time.monotonic() + 30
    while len(process.net_connections("tcp")) > 30 and time.monotonic() < deadline:
        time.sleep(0.5)


def test_half_open_connections_without_end_take_no_place(attacked: Attacked) -> None:
    """Ten times as many as have a place, which the service does not hear of again."""
    with ExitStack() as stack:
        for _ in range(5_000):
            found = stack.enter_context(socket.create_connection(("127.0.0.1", attacked.port), 30))
            found.sendall(b"GET /heal")
        share, _ = attacked.searches.run(40)
        assert share == 1
        assert len(attacked.process.net_connections("tcp")) < 700
