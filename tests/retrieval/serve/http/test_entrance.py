"""What stands in front of Ray Serve, before small applications: what goes on, and what becomes JSON."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.serve.http.entrance import MIDDLEWARES, Entrance, middlewares
from tests.tools.serving.serve_tools import HEADERS, NO_TEXT

Lines = list[tuple[bytes, bytes]]
HOST = (b"host", b"a.example")


def ask(
    app: ASGIApp, *lines: tuple[bytes, bytes], kind: str = "http", path: str = "/v1/search"
) -> list[Message]:
    """What is sent for a request with these headers."""
    scope: Scope = {
        "type": kind,
        "method": "POST",
        "path": path,
        "headers": [HOST, *lines],
        "http_version": "1.1",
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Entrance(app)(scope, receive, send))
    return sent


def seen(*lines: tuple[bytes, bytes]) -> Lines:
    """The headers that the application behind it sees."""
    found: Lines = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.extend(scope["headers"])
        await JSONResponse({})(scope, receive, send)

    ask(app, *lines)
    return found


def error_of(sent: list[Message]) -> dict[str, Any]:
    """The one error, which is whole."""
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    headers = dict(sent[0]["headers"])
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(sent[1]["body"])
    found: dict[str, Any] = json.loads(sent[1]["body"])["error"]
    assert found["request_id"].encode() == headers[b"x-request-id"]
    return found


DECODED = b"x_request_id x_session_id traceparent tracestate serve_multiplexed_model_id".split()
DECODED += b"x_request_timeout_seconds x_request_disconnect_disabled".split()


@pytest.mark.parametrize("name", HEADERS)
def test_all_that_ray_decodes_is_text(name: bytes) -> None:
    for value in NO_TEXT:
        for key, kept in seen((name, value)):
            if key.lower().replace(b"-", b"_") in DECODED:
                assert kept.decode("ascii").isprintable() and len(kept) <= 512
    assert (b"authorization", b"\xff") in seen((b"authorization", b"\xff")), "it is ours to refuse"


def test_traces_and_sessions_of_text_go_on_and_what_ray_obeys_does_not() -> None:
    trace = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    session = (b"x-session-id", b"abc")
    found = seen(trace, session, (b"x-request-timeout-seconds", b"0.001"), (b"x-request-id", b"mine"))
    assert trace in found and session in found and (b"x-request-id", b"mine") in found
    assert not [name for name, _ in found if b"timeout" in name]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (503, "Request dropped due to backpressure", "Overloaded"),
        (408, "Request 1 timed out", "DeadlineExceeded"),
        (404, "Path '/x' not found. Ping http://.../-/routes", "NotFound"),
        (500, "Traceback /srv/x", "CorpusmillError"),
        (416, "", "CorpusmillError"),
        (499, "", "CorpusmillError"),
    ],
)
def test_what_ray_says_by_itself_becomes_an_error_of_ours(status: int, text: str, kind: str) -> None:
    app = PlainTextResponse(text, status)
    sent = ask(app)
    assert sent[0]["status"] == status
    error = error_of(sent)
    assert error["type"] == kind and (not text or text not in json.dumps(error))
    assert ((b"retry-after", b"1") in sent[0]["headers"]) == (status == 503)


def test_answers_and_errors_of_ours_go_through_as_they_are() -> None:
    for app in (JSONResponse({"error": 1}, 500), Response(b"page", 200), PlainTextResponse("metrics")):
        sent = ask(app)
        assert sent[0]["status"] == app.status_code and sent[1]["body"] == app.body
    sent = ask(PlainTextResponse("no replicas", 503), path="/-/healthz")
    assert sent[1]["body"] == b"no replicas", "Ray's own route, for its own checks"


def test_what_is_raised_in_front_of_the_application_is_told_as_json() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of /srv/x")

    sent = ask(fails)
    assert sent[0]["status"] == 500 and "/srv" not in json.dumps(error_of(sent))

    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    assert [message["type"] for message in ask(breaks_off)] == ["http.response.start"]


def test_websockets_have_a_host_too() -> None:
    async def accepts(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    assert ask(accepts, kind="websocket")[0]["type"] == "websocket.accept"
    assert ask(accepts, HOST, kind="websocket")[0]["type"] == "websocket.close"


def test_ray_finds_it_and_it_loads_no_models() -> None:
    from ray._common.utils import import_attr

    assert import_attr(MIDDLEWARES) is middlewares
    code = "import sys, retrieval.serve.http.entrance; print('torch' in sys.modules, 'faiss' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
