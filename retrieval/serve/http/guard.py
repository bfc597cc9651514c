"""Around every request: its id, the size of its body, its metrics, headers of safety, errors as JSON."""

import asyncio
import json
import time
from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.errors import CorpusmillError, StorageError
from retrieval.serve.errors import (
    NotAllowed,
    Overloaded,
    TooLarge,
    TooSlow,
    Unavailable,
    error_body,
    status_of,
    unexpected,
)
from retrieval.serve.http.access import AccessPolicy
from retrieval.serve.http.entrance import valid_id
from retrieval.serve.logs import log
from retrieval.serve.metrics import Metrics

_GUARDED = ("/v1/", "/metrics")
SAFE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def is_guarded(path: str) -> bool:
    """Whether only those who may search are answered there."""
    return path.startswith(_GUARDED)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response of JSON."""
    return Response(to_json(value), status, headers, "application/json")


def to_json(value: Any) -> bytes:
    """JSON on one line that any value of an answer fits: text that is no Unicode is escaped."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # orjson refuses lone surrogates
        return json.dumps(value).encode()


def error_response(request: Request | None, error: CorpusmillError, request_id: str = "") -> Response:
    """An error with its status, and what may be told of it; all of it to who was let in to administer."""
    status = status_of(error)
    request_id = request_id or (request.state.request_id if request is not None else "")
    headers = {}
    if isinstance(error, Overloaded | Unavailable | StorageError):
        headers["retry-after"] = "1"
    if isinstance(error, NotAllowed | TooLarge | TooSlow):
        headers["connection"] = "close"  # what is left of the body is not read
    if isinstance(error, NotAllowed):
        headers["www-authenticate"] = "Bearer"
    full = request is not None and getattr(request.state, "full", False)
    return json_response({"error": error_body(error, request_id, full=full)}, status, headers)


class Guard:
    """ASGI middleware. A body is read whole before the application sees it, and never beyond the limits; that
    of somebody who may not ask is not read."""

    def __init__(
        self, app: ASGIApp, *, door: AccessPolicy, body_bytes: int, body_s: float, metrics: Metrics
    ) -> None:
        self._app = app
        self._door = door
        self._body_bytes = body_bytes
        self._body_s = body_s
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = valid_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        start, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(scope, receive, sending, request_id)
        finally:
            path = getattr(scope.get("route"), "path", "none")  # never the path itself: it has no bounds
            ms = 1000 * (time.perf_counter() - start)
            self._metrics.request(path, status, ms)
            log.info("%s %s %s %.1f ms, request %s", scope["method"], path, status, ms, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if is_guarded(scope["path"].removeprefix(scope.get("root_path", ""))):
                self._door.check(scope, "search")
            body = await self._in_time(scope, receive)
            await self._app(scope, _replay(body, receive), sending)
        except (NotAllowed, TooLarge, TooSlow) as error:
            await error_response(None, error, request_id)(scope, receive, send)
        except Exception as error:
            log.exception("request %s failed", request_id)
            if not started:
                await error_response(None, unexpected(error), request_id)(scope, receive, send)

    async def _in_time(self, scope: Scope, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._body_s):
                return await self._body(scope, receive)
        except TimeoutError as error:
            raise TooSlow(f"the body took longer than {self._body_s:g} s (limits.body_s)") from error

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._body_bytes:
            raise self._too_large()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)  # the client left
            body += message.get("body", b"")
            if len(body) > self._body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self._body_bytes:,} bytes (limits.body_bytes)",
            hint="Send fewer queries or texts at a time.",
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again
