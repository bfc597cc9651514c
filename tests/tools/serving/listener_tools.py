"""The listener before a small application, in this process: every limit can be tried in a second."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from retrieval.serve.http.access import AccessPolicy, Keys, hashed_key, new_key
from retrieval.serve.listener.connection import Connection
from retrieval.serve.listener.hall import Hall
from retrieval.serve.listener.rules import Rules
from retrieval.serve.metrics import Metrics
from retrieval.serve.settings import Limits

LARGE = 30_000_000  # more than the buffers of both sides take
QUICK: dict[str, Any] = {
    "head_s": 1, "body_s": 1, "idle_s": 2, "taking_s": 1, "connections": 12, "strangers": 4,
    "body_bytes": 2_000, "arriving_bytes": 5_000, "head_bytes": 2_000,
}  # fmt: skip


@dataclass
class Running:
    """A listener. `seen`: bodies that the application was given. `hold`: what /v1/hold waits for."""

    port: int
    key: str
    hall: Hall
    seen: list[bytes] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    @property
    def known(self) -> bytes:
        """A header."""
        return b"authorization: Bearer " + self.key.encode() + b"\r\n"

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def ask(self, sent: bytes) -> bytes:
        """All that comes until the service ends the connection; `sent` asks it to, or gives it a reason."""
        with self.connect() as found:
            found.sendall(sent)
            return everything(found)


def everything(found: socket.socket, seconds: float = 10) -> bytes:
    """What comes until the other side ends."""
    found.settimeout(seconds)
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := found.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def head(path: str, *headers: bytes, method: str = "POST", length: int | None = None) -> bytes:
    """Of a request."""
    lines = [f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n".encode(), *headers]
    return b"".join(lines) + (b"" if length is None else b"content-length: %d\r\n" % length) + b"\r\n"


def statuses(answers: bytes) -> list[int]:
    """Of the answers in what came."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


@contextmanager
def listening(*, keys: bool = True, **limits: Any) -> Iterator[Running]:
    """The listener, until the block ends."""
    asked, key = Limits(**{**QUICK, **limits}), new_key()

    async def echo(request: Request) -> Response:
        running.seen.append(await request.body())
        return PlainTextResponse(running.seen[-1] or b"none")

    async def hold(request: Request) -> Response:
        await asyncio.to_thread(running.hold.wait, 20)
        return PlainTextResponse("held")

    async def large(request: Request) -> Response:
        return PlainTextResponse(b"a" * LARGE)

    paths = {"/v1/echo": echo, "/v1/hold": hold, "/v1/large": large, "/large": large, "/healthz": echo}
    routes = [Route(path, call, methods=["GET", "POST"]) for path, call in paths.items()]
    door = AccessPolicy(Keys([("search", hashed_key(key))] if keys else []))
    rules = Rules(asked, door, routes, {"/v1/echo", "/v1/hold"})
    hall = Hall(asked, rules, Metrics(), free=not keys, origins=["https://a.example"])
    config = uvicorn.Config(
        Starlette(routes=routes), http=partial(Connection, hall), ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)

    async def serve(found: socket.socket) -> None:
        hall.begin(asyncio.get_running_loop(), 10_000)
        await server.serve([found])

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        running = Running(found.getsockname()[1], key, hall)
        thread = threading.Thread(target=lambda: asyncio.run(serve(found)), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield running
        finally:
            running.hold.set()
            server.should_exit = server.force_exit = True
            thread.join(20)
