"""In front of Ray Serve: what it would fail on is taken out of requests, and its own words out of answers.

Ray's proxy, and a replica that listens itself, decode some headers as UTF-8 before the application sees the
request, obey what clients write into them, and repeat the request's id. They call `middlewares` where
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it. Imports nothing heavy: a proxy has no use for torch.
"""

import json
import os
import re
import uuid
from http.client import responses

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.serve.logs import log

MIDDLEWARES_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
MIDDLEWARES = "retrieval.serve.http.entrance:middlewares"
_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_TEXT = re.compile(rb"^[\x20-\x7e]{1,512}$")
# RFC 3986: a name or an address, and a port.
_HOST = re.compile(rb"^(\[[0-9A-Za-z:.%]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?$")
# What Ray obeys: a client may neither keep its work going after it has left, nor choose a replica.
_OBEYED = (b"x_request_timeout_seconds", b"x_request_disconnect_disabled", b"serve_multiplexed_model_id")
_SESSION = (
    os.environ.get("RAY_SERVE_SESSION_ID_HEADER_KEY", "x-session-id").lower().replace("-", "_").encode()
)
_READ = (b"traceparent", b"tracestate", _SESSION)  # by Ray, as UTF-8
_TOLD = {
    400: ("BadRequest", "a header cannot be used"),
    404: ("NotFound", "there is no such path"),
    408: ("DeadlineExceeded", "the request took longer than it may"),
    500: ("CorpusmillError", "the service failed"),
    503: ("Overloaded", "the service cannot take the request now"),
}
_HINT = "The service's log says more under this request's id."


def middlewares() -> list[Middleware]:
    """What Ray Serve puts around its own applications."""
    return [Middleware(Entrance)]


def valid_id(given: str) -> str:
    """A request's id, as it was given if it may be repeated, or a new one."""
    return given if _ID.match(given) else uuid.uuid4().hex


class Entrance:
    """ASGI middleware around Ray Serve's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = valid_id(Headers(scope=scope).get("x-request-id", ""))
        wrong = wrong_host(scope["headers"], scope.get("http_version", "1.1"))
        scope["headers"] = [*_clean(scope["headers"]), (b"x-request-id", request_id.encode())]
        if scope["type"] == "websocket":
            await (_close(send) if wrong else self._app(scope, receive, send))
        elif wrong:
            await _tell(send, 400, request_id, message=wrong)
        else:
            answer = _Answer(send, request_id, own=scope["path"].startswith("/-/"))
            try:
                await self._app(scope, receive, answer.send)
            except Exception:
                log.exception("request %s failed in front of the application", request_id)
                if not answer.started:
                    await _tell(send, 500, request_id)


class _Answer:
    """Lets an answer through; an error in the words of Ray Serve or its server becomes one in ours."""

    def __init__(self, send: Send, request_id: str, *, own: bool) -> None:
        """own: whether the route is Ray's own, which its own health checks read."""
        self.started = False
        self._send = send
        self._request_id = request_id
        self._own = own
        self._replaced = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = Headers(raw=message["headers"])
            kind = headers.get("content-type", "")
            if message["status"] >= 400 and not self._own and not kind.startswith("application/json"):
                self._replaced = True
                log.warning("request %s: Ray Serve answers %s", self._request_id, message["status"])
                kept = [(b"retry-after", b"1")] if message["status"] == 503 else []
                await _tell(self._send, message["status"], self._request_id, kept)
                return
        if not self._replaced:
            await self._send(message)


def _clean(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers without the request's id, those that Ray obeys, and what it reads and is no text."""
    kept = []
    for name, value in headers:
        plain = name.lower().replace(b"-", b"_")
        if plain in _OBEYED or plain == b"x_request_id":
            continue
        if plain in _READ and not _TEXT.match(value):
            continue
        kept.append((name, value))
    return kept


def wrong_host(headers: list[tuple[bytes, bytes]], http_version: str) -> str:
    """What HTTP says has to be refused: no host, several, or one that is none; empty if nothing is."""
    hosts = [value for name, value in headers if name.lower() == b"host"]
    if len(hosts) > 1 or (not hosts and http_version == "1.1"):
        return "a request has one Host header"
    return "the Host header is no name of a host" if hosts and not _HOST.match(hosts[0]) else ""


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008, "reason": ""})


async def _tell(
    send: Send, status: int, request_id: str, more: list[tuple[bytes, bytes]] | None = None, *,
    message: str = "",
) -> None:  # fmt: skip
    known = status if status in _TOLD else 500
    kind, told = _TOLD[known]
    if known != status:
        told = responses.get(status, told)
    error = {"type": kind, "message": message or told, "hint": _HINT, "request_id": request_id}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
        (b"x-content-type-options", b"nosniff"), (b"x-request-id", request_id.encode()), *(more or []),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
