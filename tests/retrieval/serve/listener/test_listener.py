"""The listener: who has no key takes nothing from those who have one, and nothing waits without end."""

import socket
import time
from collections.abc import Iterator

import pytest

from retrieval.serve.settings import Limits
from tests.tools.serving.listener_tools import LARGE, Running, everything, head, listening, statuses

CLOSE = b"connection: close\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with listening() as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No bytes stay counted, whatever came."""
    yield
    if "running" in request.fixturenames:
        found: Running = request.getfixturevalue("running")
        deadline = time.monotonic() + 5
        while found.hall.arriving and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found.hall.arriving == 0


def test_a_request_that_has_arrived_is_answered(running: Running) -> None:
    sent = head("/v1/echo", running.known, CLOSE, length=3)
    assert everything_of(running, sent + b"abc").endswith(b"\r\n\r\nabc")
    chunks = head("/v1/echo", running.known, CLOSE, b"transfer-encoding: chunked\r\n")
    assert everything_of(running, chunks + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").endswith(b"\r\n\r\nabc")
    assert statuses(everything_of(running, head("/healthz", CLOSE, method="GET"))) == [200]


def everything_of(running: Running, sent: bytes) -> bytes:
    return running.ask(sent)


REFUSED = {
    "body without a key": (head("/v1/echo", length=5) + b"a", 401),
    "body with a wrong key": (head("/v1/echo", b"authorization: Bearer no\r\n", length=5) + b"a", 401),
    "chunks without a key": (head("/v1/echo", b"transfer-encoding: chunked\r\n") + b"1\r\na\r\n", 401),
    "no body and no key": (head("/v1/echo", method="GET"), 401),
    "100 Continue without a key": (head("/v1/echo", b"expect: 100-continue\r\n", length=5), 401),
    "an escaped path without a key": (head("/%76%31/echo", length=5) + b"a", 401),
    "body for a route that takes none": (head("/healthz", length=5) + b"a", 413),
    "chunks for a route that takes none": (head("/healthz", b"transfer-encoding: chunked\r\n"), 413),
    "GET with a body": (head("/healthz", method="GET", length=5) + b"a", 413),
    "body for no route": (head("/nothing", length=5) + b"a", 404),
    "a websocket": (head("/healthz", b"connection: upgrade\r\nupgrade: websocket\r\n", method="GET"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a length and chunks": (head("/v1/echo", b"transfer-encoding: chunked\r\n", length=5) + b"5\r\n", 400),
    "chunks and a length": (
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /", 400,
    ),
    "two lengths": (head("/v1/echo", b"content-length: 4\r\n", length=5) + b"a", 400),
    "a space before the colon": (head("/v1/echo", b"transfer-encoding : chunked\r\n"), 400),
    "a header on two lines": (head("/v1/echo", b"transfer-encoding:\r\n chunked\r\n", length=5), 400),
    "chunked is not last": (head("/v1/echo", b"transfer-encoding: chunked, identity\r\n"), 400),
    "a long path": (head("/" + "a" * 3_000, method="GET"), 414),
    "a long path without an end": (b"GET /" + b"a" * 40_000, 414),
    "a long header": (head("/healthz", b"x-a: " + b"a" * 3_000 + b"\r\n", method="GET"), 431),
    "a long header without an end": (b"GET / HTTP/1.1\r\nx-a: " + b"a" * 40_000, 431),
    "many headers": (head("/healthz", b"x-a: a\r\n" * 3_000, method="GET"), 431),
    "many small headers without an end": (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 150, 431),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_at_the_head_is_refused_at_once(running: Running, name: str) -> None:
    """And the connection ends: what was sent of a body is no request."""
    sent, status = REFUSED[name]
    seen, start = len(running.seen), time.monotonic()
    answer = everything_of(running, sent)
    assert statuses(answer) == [status]
    assert answer.count(b"connection: close") == 1 and b"nosniff" in answer and b"x-request-id" in answer
    assert time.monotonic() - start < 4  # the client is given some time to see it
    assert len(running.seen) == seen


def test_a_page_that_may_ask_sees_why_it_was_refused(running: Running) -> None:
    for origin, seen in ((b"https://a.example", 1), (b"https://b.example", 0)):
        answer = everything_of(running, head("/v1/echo", b"origin: " + origin + b"\r\n", length=5))
        assert answer.count(b"access-control-allow-origin: https://a.example") == seen


LATE = {
    "nothing": (b"", b"", []),
    "half a head": (b"GET /healthz HT", b"", [408]),
    "a head in bytes": (b"GET /healthz HTTP/1.1\r\nx-a: ", b"a", [408]),
    "empty lines": (b"\r\n", b"\r\n", []),
}


@pytest.mark.parametrize("name", LATE)
def test_a_head_has_its_time_whatever_trickles(running: Running, name: str) -> None:
    first, drip, told = LATE[name]
    with running.connect() as found:
        start = time.monotonic()
        assert statuses(trickled(found, first, drip)) == told
        assert 0.9 < time.monotonic() - start < 4.5


@pytest.mark.parametrize("drip", [b"", b"a"])
def test_a_body_has_its_time_whatever_trickles(running: Running, drip: bytes) -> None:
    seen, start = len(running.seen), time.monotonic()
    with running.connect() as found:
        assert statuses(trickled(found, head("/v1/echo", running.known, length=500), drip)) == [408]
    assert 0.9 < time.monotonic() - start < 4.5
    assert len(running.seen) == seen


def trickled(found: socket.socket, first: bytes, drip: bytes) -> bytes:
    """What comes until the other side ends, while bytes are sent."""
    found.sendall(first)
    answer = b""
    found.settimeout(0.2)
    for _ in range(50):
        try:
            part = found.recv(65_536)
            answer += part
            if not part:
                return answer
        except TimeoutError:
            found.sendall(drip)
        except ConnectionError:
            return answer
    raise AssertionError("it did not end")


def test_a_kept_connection_ends_when_nothing_comes(running: Running) -> None:
    with running.connect() as found:
        found.sendall(head("/v1/echo", running.known, length=1) + b"a")
        start = time.monotonic()
        assert statuses(everything(found)) == [200]
        assert 1.8 < time.monotonic() - start < 4


@pytest.mark.parametrize("chunked", [True, False])
def test_too_much_body_is_refused(running: Running, chunked: bool) -> None:
    sent = head("/v1/echo", running.known, length=2_001)
    if chunked:
        sent = head("/v1/echo", running.known, b"transfer-encoding: chunked\r\n") + b"3e8\r\n" + b"a" * 1_000
        sent += b"\r\n3e9\r\n" + b"a" * 1_001
    assert statuses(everything_of(running, sent)) == [413]


def test_what_trails_a_body_has_a_limit_and_changes_nothing(running: Running) -> None:
    chunked = head("/v1/echo", running.known, CLOSE, b"transfer-encoding: chunked\r\n") + b"1\r\na\r\n0\r\n"
    assert everything_of(running, chunked + b"authorization: no\r\nx-a: b\r\n\r\n").endswith(b"\r\n\r\na")
    assert statuses(everything_of(running, chunked + b"x-a: " + b"a" * 40_000)) == [413]


def test_bodies_together_have_a_limit(running: Running) -> None:
    """The one that passes it is refused; room comes back with the others' end."""
    part = head("/v1/echo", running.known, length=1_999) + b"a" * 1_900
    others = [running.connect() for _ in range(2)]
    for other in others:
        other.sendall(part)
    time.sleep(0.2)
    assert statuses(everything_of(running, part)) == [503]
    for other in others:
        other.sendall(b"a" * 99)
        assert other.recv(12) == b"HTTP/1.1 200"
        other.close()
    assert statuses(everything_of(running, head("/v1/echo", running.known, CLOSE, length=1) + b"a")) == [200]


def test_100_continue_is_said_to_who_may_ask(running: Running) -> None:
    with running.connect() as found:
        found.sendall(head("/v1/echo", running.known, b"expect: 100-continue\r\n", length=1))
        assert found.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        found.sendall(b"a")
        assert found.recv(12) == b"HTTP/1.1 200"


def test_requests_in_a_row_are_answered_in_their_order(running: Running) -> None:
    """Bodies that arrive with the next head, and a refusal after the answers that come before it."""
    sent = b"".join(head("/v1/echo", running.known, length=2) + b"%02d" % number for number in range(20))
    sent += head("/v1/echo", length=500) + b"a" * 20
    answer = everything_of(running, sent)
    assert statuses(answer) == [200] * 20 + [401]
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in answer.split(b"HTTP/1.1 ")[1:21]]
    assert bodies == [b"%02d" % number for number in range(20)]
    in_bytes = sent[: len(sent) // 10]
    with running.connect() as found:
        for byte in in_bytes:
            found.send(bytes([byte]))
        assert found.recv(12) == b"HTTP/1.1 200"


def test_garbage_after_a_request_does_not_change_its_answer(running: Running) -> None:
    answer = everything_of(running, head("/v1/echo", running.known, length=2) + b"abcdef\r\n\r\n")
    assert statuses(answer) == [200, 400]
    assert b"\r\n\r\nabHTTP/1.1 400" in answer


def test_without_a_key_one_request_at_a_time(running: Running) -> None:
    answer = everything_of(running, head("/healthz", method="GET") * 50)
    assert statuses(answer) == [200, 503]


def test_another_protocol_is_not_taken_up(running: Running) -> None:
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
    sent = head("/v1/echo", running.known, upgrade, length=1) + b"a" + head("/healthz", method="GET")
    assert statuses(everything_of(running, sent)) == [200]


def test_stalled_ones_give_way_but_never_who_has_a_key() -> None:
    with listening(head_s=30, body_s=30, idle_s=30) as running:
        kept = [running.connect() for _ in range(3)]
        for found in kept:
            found.sendall(head("/v1/echo", running.known, length=1) + b"a")
            assert found.recv(12) == b"HTTP/1.1 200"
            assert found.recv(1_000)
        stalled = []
        for _ in range(20):
            found = running.connect()
            stalled.append(found)
            found.sendall(b"GET /heal")
        time.sleep(1.5)  # after a rush
        assert [closed(found) for found in stalled] == [True] * 16 + [False] * 4
        assert not any(closed(found) for found in kept)
        for found in kept:
            found.sendall(head("/v1/echo", running.known, length=1) + b"b")
            assert found.recv(12) == b"HTTP/1.1 200"
        assert statuses(everything_of(running, head("/v1/echo", running.known, CLOSE, length=1) + b"a")) == [
            200
        ]
        for found in [*kept, *stalled]:
            found.close()


def test_who_has_a_key_gives_way_when_idle_and_never_while_answered() -> None:
    with listening(head_s=30, idle_s=30, connections=16, strangers=8) as running:
        idle = running.connect()
        idle.sendall(head("/v1/echo", running.known, length=1) + b"a")
        assert idle.recv(12) == b"HTTP/1.1 200"
        answered = [running.connect() for _ in range(8)]
        for found in answered:
            found.sendall(head("/v1/hold", running.known, CLOSE, length=1) + b"a")
        time.sleep(0.3)
        assert closed(idle)
        assert statuses(everything_of(running, head("/v1/echo", running.known, length=1) + b"a")) == [503]
        running.hold.set()
        assert [statuses(everything(found)) for found in answered] == [[200]] * 8
        assert statuses(everything_of(running, head("/v1/echo", running.known, CLOSE, length=1) + b"a")) == [
            200
        ]


def test_shares_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="strangers must be fewer"):
        Limits(connections=10, strangers=10)


def closed(found: socket.socket) -> bool:
    """Whether the other side has ended the connection."""
    found.settimeout(0.01)
    try:
        return len(found.recv(65_536)) == 0 or closed(found)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("path", ["/v1/large", "/large"])
def test_an_answer_that_nobody_takes_is_given_up(running: Running, path: str) -> None:
    with running.connect() as found:
        found.sendall(head(path, running.known, method="GET"))
        time.sleep(4)
        assert 0 < len(everything(found)) < LARGE


def test_an_answer_that_is_taken_slowly_is_given_whole(running: Running) -> None:
    with running.connect() as found:
        found.sendall(head("/v1/large", running.known, CLOSE, method="GET"))
        taken, start = 0, time.monotonic()
        while part := found.recv(1_500_000):
            taken += len(part)
            time.sleep(0.1)
        assert taken > LARGE
        assert time.monotonic() - start > 2


def test_without_keys_this_machine_is_known() -> None:
    with listening(keys=False) as running:
        found = [running.connect() for _ in range(8)]
        assert not any(map(closed, found))
        assert statuses(everything_of(running, head("/v1/echo", CLOSE, length=1) + b"a")) == [200]
        proxied = head("/v1/echo", b"x-forwarded-for: 203.0.113.9\r\n", length=5)
        assert statuses(everything_of(running, proxied)) == [401]
