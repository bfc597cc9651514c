"""More requests than a service can answer, clients that leave, bodies that never come."""

import http.client
import json
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import TOPICS
from tests.tools.serving.serve_load import Load, ask, percentile, statuses, until
from tests.tools.serving.serve_tools import Service, serving

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

BODY_S = 3
PLACES = 32  # of requests that take long: half of those that may wait, and the one that runs
ANSWERS = 2
CONFIG = f"{{limits: {{running: 2, waiting: {2 * PLACES}, answers: {ANSWERS}, body_s: {BODY_S}}}}}"
HEAVY = [
    {"query": f"notes about {topic} near place {place}", "k": 20, "rerank": "late-interaction"}
    for place in range(4)
    for topic in TOPICS
]
SLOW = 900  # more than the ingress and its queue take together
CALM_S, LOAD_S = 10, 20


@pytest.fixture(scope="module")
def loaded(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with all places taken for a while, so that its memory is what it needs."""
    with serving(served_index, tmp_path_factory.mktemp("loaded"), CONFIG) as service:
        with Load(service.url, HEAVY, PLACES) as load:
            time.sleep(LOAD_S)
        assert set(statuses(load.outcomes)) == {200}
        yield service


def memory_of(service: Service) -> float:
    """Resident megabytes of the ingress replica."""
    return sum(process.memory_info().rss for process in service.replicas("ingress")) / 1e6


def test_four_times_the_load_that_can_be_sustained(loaded: Service) -> None:
    with Load(loaded.url, HEAVY, 8) as calm:
        time.sleep(CALM_S)
    assert set(statuses(calm.outcomes)) == {200}
    sustained = len(calm.outcomes) / calm.seconds
    before, alive = memory_of(loaded), []
    with Load(loaded.url, HEAVY, 150, rate=4 * sustained) as load:
        end = time.monotonic() + LOAD_S
        while time.monotonic() < end:
            start = time.monotonic()
            alive.append((loaded.get("/healthz").status_code, time.monotonic() - start))
            time.sleep(0.3)
    after = memory_of(loaded)
    refused = [outcome for outcome in load.outcomes if outcome.status in (429, 503)]
    good = [outcome for outcome in load.outcomes if outcome.status == 200]
    offered = len(load.outcomes) / load.seconds
    print(
        f"\nsustained {sustained:.0f}/s (p99 {percentile(calm.outcomes, 99):.0f} ms), "
        f"offered {offered:.0f}/s: {statuses(load.outcomes)}, answered "
        f"{len(good) / load.seconds:.0f}/s with p99 {percentile(good, 99):.0f} ms, "
        f"refused with p95 {percentile(refused, 95):.0f} ms; "
        f"healthz at most {1000 * max(s for _, s in alive):.0f} ms; {before:.0f} MB before, {after:.0f} after"
    )
    assert set(statuses(load.outcomes)) <= {200, 429, 503}
    assert offered > 2 * sustained, "too few requests were sent to say anything"
    assert len(good) > len(calm.outcomes) / 2, "the service does nothing but refuse"
    assert all(outcome.retry_after == "1" for outcome in refused)
    assert percentile(refused, 95) < 1000
    assert {status for status, _ in alive} == {200}
    assert after < 1.2 * before
    with Load(loaded.url, HEAVY, 4) as later:
        time.sleep(2)
    assert set(statuses(later.outcomes)) == {200}


def test_clients_that_leave_keep_no_place(loaded: Service) -> None:
    calm = typical_s(loaded)
    asked = [
        ("/v1/search", HEAVY[0]),
        ("/v1/answer", {"question": "how high is the lighthouse", "stream": True}),
    ]
    with ThreadPoolExecutor(30) as clients:
        list(clients.map(lambda number: leave(loaded, *asked[number % 2], reset=number % 4 > 1), range(400)))
    took = until(lambda: under_way(loaded) == 0, "no request under way")
    with ThreadPoolExecutor(PLACES) as clients:
        found = list(clients.map(lambda number: post(loaded, "/v1/search", HEAVY[number]), range(PLACES)))
    assert Counter(found) == {200: PLACES}
    with ThreadPoolExecutor(ANSWERS) as clients:
        questions = [{"question": f"what is known about {topic}"} for topic in TOPICS[:ANSWERS]]
        assert set(clients.map(lambda value: post(loaded, "/v1/answer", value), questions)) == {200}
    after = typical_s(loaded)
    print(f"\n400 clients left, none under way after {took:.1f} s; {calm:.3f} s, then {after:.3f} s")
    assert after < 3 * calm + 0.1


def test_bodies_that_never_end_do_not_keep_others_out(loaded: Service) -> None:
    host = urlsplit(loaded.url)
    with ExitStack() as stack:
        slow = []
        for _ in range(SLOW):
            slow.append(stack.enter_context(socket.create_connection((host.hostname, host.port), 60)))
            slow[-1].sendall(head_of("/v1/search", 500) + b"{")
        crowded = Counter(post(loaded, "/v1/search", HEAVY[number]) for number in range(8))
        told = Counter(connection.recv(100).split(b" ")[1].decode() for connection in slow)
    print(f"\n{SLOW} bodies that never end: {dict(told)}; beside them {dict(crowded)}")
    assert set(crowded) == {200}
    assert set(told) == {"408"}


def post(service: Service, path: str, value: dict[str, Any]) -> int:
    """The status, over a connection of its own."""
    host = urlsplit(service.url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)
    try:
        return ask(connection, value, path).status
    finally:
        connection.close()


def typical_s(service: Service) -> float:
    """Median of the seconds of an answer, one after the other."""
    seconds = []
    for number in range(9):
        start = time.monotonic()
        assert post(service, "/v1/search", HEAVY[number]) == 200
        seconds.append(time.monotonic() - start)
    return sorted(seconds)[4]


def leave(service: Service, path: str, value: dict[str, Any], *, reset: bool) -> None:
    """Send a request and close at once, or some milliseconds later without a goodbye."""
    host, body = urlsplit(service.url), json.dumps(value).encode()
    with socket.create_connection((host.hostname, host.port), 60) as connection:
        connection.sendall(head_of(path, len(body)) + body)
        if reset:
            time.sleep(0.05)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def head_of(path: str, length: int) -> bytes:
    """Of a request with so many bytes of JSON."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


def under_way(service: Service) -> float:
    """What the gauge says."""
    found = re.findall(r"corpusmill_under_way\{[^}]*\} ([0-9.e+]+)", service.get("/metrics").text)
    return sum(map(float, found)) if found else -1
