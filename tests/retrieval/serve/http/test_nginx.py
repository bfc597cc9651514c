"""deploy/nginx.conf: what the listener does on one machine, before Ray Serve's proxy."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.tools.serving.listener_tools import head, listening
from tests.tools.serving.nginx_tools import CONFIG, NGINX, behind_nginx, nginx
from tests.tools.serving.serve_tools import Service
from tests.tools.serving.stalled import KINDS, Searches, stalled

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine"),
    pytest.mark.timeout(600),
]
ELSEWHERE = "127.0.0.2"  # limits are by address
FEW = 20  # of each kind
REFUSED = {
    head("/v1/echo", length=500) + b"{": 401,
    head("/v1/answer", b"transfer-encoding: chunked\r\n") + b"1\r\n{\r\n": 401,
    head("/metrics", method="GET"): 401,
    head("/healthz", length=500) + b"{": 413,
    head("/nothing", length=500) + b"{": 413,
    head("/healthz", method="GET", length=500) + b"{": 413,
    head("/v1/echo", b"authorization: Bearer x\r\n", length=9_000_000): 413,
}


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    assert NGINX is not None
    done = subprocess.run([NGINX, "-t", "-p", tmp_path, "-c", CONFIG], capture_output=True, text=True)
    assert "test is successful" in done.stderr and "warn" not in done.stderr


def test_nginx_hands_on_what_is_there_and_brings_a_key(tmp_path: Path) -> None:
    with listening() as running, nginx(tmp_path, running.port) as port:
        for sent, status in REFUSED.items():
            assert status_of(port, sent) == status, sent
        with socket.create_connection(("127.0.0.1", port), 10) as found:
            found.sendall(head("/v1/echo", running.known, length=3) + b"ab")
            time.sleep(0.3)
            assert running.seen == []
            found.sendall(b"c")
            assert found.recv(12) == b"HTTP/1.1 200"
        assert running.seen == [b"abc"]
        for name in (b"x-a: b", b"x-request-id: \xff\xfe", b"x-request-timeout-seconds: 0.001"):
            assert status_of(port, head("/healthz", name + b"\r\n", method="GET")) == 200


def status_of(port: int, sent: bytes) -> int:
    """Of the first answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as found:
        found.sendall(sent)
        return int(found.recv(100).split(b" ")[1])


@pytest.fixture(scope="module")
def proxied(
    served_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, str, Service]]:
    with behind_nginx(served_index, tmp_path_factory.mktemp("nginx")) as found:
        yield found


@pytest.mark.slow
def test_nginx_passes_on_what_honest_clients_ask(proxied: tuple[int, str, Service]) -> None:
    port, key, _service = proxied
    url, headers = f"http://127.0.0.1:{port}", {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, timeout=60) as client:
        for path in ("/", "/playground/app.js", "/healthz", "/readyz", "/openapi.json"):
            assert client.get(path).status_code == 200, path
        assert client.get("/v1/index", headers=headers).status_code == 200
        found = client.post("/v1/search", json={"query": "bees"}, headers=headers)
        assert found.status_code == 200 and found.json()["hits"]
        batch = {"queries": ["bees " * 800] * 200}
        assert len(json.dumps(batch)) > 700_000
        assert client.post("/v1/search/batch", json=batch, headers=headers).status_code == 200
        asked = {"question": "When was the lighthouse of Brell built?", "stream": True}
        with client.stream("POST", "/v1/answer", json=asked, headers=headers) as answer:
            assert answer.status_code == 200
            assert len([line for line in answer.iter_lines() if line.startswith("data:")]) > 1


@pytest.mark.slow
def test_a_few_stalled_clients_of_every_kind_behind_nginx(proxied: tuple[int, str, Service]) -> None:
    port, key, _service = proxied
    searches = Searches(port, key, ELSEWHERE)
    searches.run(40)
    _, before = searches.run(60)
    with ExitStack() as stack:
        for kind in KINDS:
            stack.enter_context(stalled(port, kind, FEW))
        share, during = searches.run(100)
    print(f"\n{FEW} of each kind: p95 {before:.1f} ms, then {during:.1f} ms, answered {share:.1%}")
    assert share == 1
    assert during < 4 * before  # on a loaded machine; the figure itself is that of the long test


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_stalled_clients_behind_nginx(proxied: tuple[int, str, Service], kind: str) -> None:
    port, key, _service = proxied
    searches = Searches(port, key, ELSEWHERE)
    searches.run(40)
    _, before = searches.run(200)
    with stalled(port, kind, 1_000):
        share, during = searches.run(200)
    print(f"\n{kind}: p95 {before:.1f} ms, then {during:.1f} ms, answered {share:.1%}")
    assert share >= 0.99
    assert during <= 2 * before
