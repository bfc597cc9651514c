"""Requests that no honest client sends: made up from the interface's own description, and raw bytes."""

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.tools.serving.serve_tools import Service

SLOW = 100  # connections that never finish what they began


@settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck]
)
@given(st.data())
def ask_whatever(operation: Any, data: st.DataObject) -> None:
    """A request that the description allows or, by half of the examples, forbids; the answer is checked.

    A filter may name a field that no document has: what fits the description may be refused all the same. And
    what may take one millisecond is answered with 504; no other request is.
    """
    mode = data.draw(st.sampled_from(GenerationMode))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    answer = case.call(timeout=60)
    case.validate_response(answer, excluded_checks=[positive_data_acceptance, not_a_server_error])
    hurried = isinstance(case.body, dict) and "timeout_ms" in case.body
    assert answer.status_code < 500 or (answer.status_code == 504 and hurried)


def test_every_route_answers_as_it_is_described(service: Service, subtests: pytest.Subtests) -> None:
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            ask_whatever(operation)


GET = b" HTTP/1.1\r\nhost: localhost\r\n"
HEAD = b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
ASKED = b'{"query": "bees", "k": 1}'


def chunk(content: bytes) -> bytes:
    """As chunked transfer encoding has it."""
    return b"%x\r\n%s\r\n" % (len(content), content)


RAW: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "whole": (HEAD + b"content-length: 25\r\n\r\n" + ASKED, (200,)),
    "in chunks": (CHUNKED + chunk(ASKED[:9]) + chunk(ASKED[9:]) + chunk(b""), (200,)),
    "many small chunks": (CHUNKED + chunk(b" ") * 2000 + chunk(ASKED) + chunk(b""), (200,)),
    "too large in chunks": (CHUNKED + chunk(b" " * 60_000) * 20 + chunk(b""), (413,)),
    "too large in chunks without an end": (CHUNKED + chunk(b" " * 60_000) * 20, (413,)),
    "too large as it says": (HEAD + b"content-length: 99999999\r\n\r\n" + ASKED, (413,)),
    "longer than it says": (HEAD + b"content-length: 5\r\n\r\n" + ASKED, (400, 422)),
    "a negative length": (HEAD + b"content-length: -5\r\n\r\n" + ASKED, (400,)),
    "a length of many digits": (HEAD + b"content-length: " + b"9" * 5_000 + b"\r\n\r\n", (400, 413)),
    "two lengths": (HEAD + b"content-length: 25\r\ncontent-length: 26\r\n\r\n" + ASKED, (400,)),
    "a length and chunks": (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\n", (400,)),
    "a chunk of no size": (CHUNKED + b"zz\r\nxx", (400,)),
    "an unknown encoding": (HEAD + b"transfer-encoding: gzip\r\n\r\n" + ASKED, (400, 501)),
    "a gigantic header": (HEAD + b"x-a: " + b"a" * 300_000 + b"\r\n\r\n", (400, 422, 431)),
    "many headers": (HEAD + b"".join(b"x-%d: a\r\n" % n for n in range(10_000)) + b"\r\n", (400, 422, 431)),
    "a gigantic path": (b"GET /" + b"a" * 300_000 + GET + b"\r\n", (400, 404, 414)),
    "a path that is no text": (b"GET /v1/passages/%ff%00%2e%2e/x" + GET + b"\r\n", (404, 422)),
    "a key that is no text": (b"GET /v1/index" + GET + b"authorization: \xff\r\n\r\n", (200,)),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
    "a websocket": (
        b"GET /v1/search HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n", (400, 403, 404),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_bytes_on_the_wire(service: Service, name: str) -> None:
    sent, expected = RAW[name]
    with connected(service) as connection:
        with contextlib.suppress(ConnectionError):  # the answer may come before all of it is sent
            connection.sendall(sent)
        status = int(connection.recv(100).split(b" ")[1])
    assert status in expected
    assert service.get("/healthz").status_code == 200


def test_connections_that_do_not_finish_do_not_disturb(service: Service) -> None:
    """Heads and bodies that stop in the middle, and go on by a byte now and then."""
    beginnings = (
        b"POST /v1/sea",
        HEAD + b"x-a: ",
        HEAD + b"content-length: 500\r\n\r\n{",
        CHUNKED + b"1f4\r\n{",
    )
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(service)) for _ in range(SLOW)]
        for number, connection in enumerate(slow):
            connection.sendall(beginnings[number % len(beginnings)])
        for _ in range(5):
            for connection in slow:
                connection.sendall(b"a")
            start = time.monotonic()
            assert service.post("/v1/search", {"query": "bees"}).status_code == 200
            assert time.monotonic() - start < 5


@contextlib.contextmanager
def connected(service: Service) -> Iterator[socket.socket]:
    """A connection that speaks no HTTP by itself."""
    host = urlsplit(service.url)
    with socket.create_connection((host.hostname, host.port), timeout=20) as connection:
        yield connection
