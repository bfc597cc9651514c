"""Which requests are refused at their head, before any of the body is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.routing import BaseRoute, Match

from retrieval.errors import CorpusmillError
from retrieval.serve.errors import HeadTooLarge, Malformed, NotAllowed, NotFound, PathTooLong, TooLarge
from retrieval.serve.http import AccessPolicy, is_guarded, wrong_host
from retrieval.serve.settings import Limits


@dataclass
class Head:
    """Of one request. version: of HTTP, as `1.1`. size: bytes. headers: names in lower case, as they came."""

    method: str
    path: str
    version: str
    size: int
    headers: list[tuple[bytes, bytes]]
    named: dict[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.path = unquote(self.path)
        self.named = dict(self.headers)

    @property
    def brings_body(self) -> bool:
        """Whether one is announced."""
        return (
            b"transfer-encoding" in self.named or self.named.get(b"content-length", b"0").strip(b"0") != b""
        )


class Rules:
    """What the listener of a service takes."""

    def __init__(
        self, limits: Limits, door: AccessPolicy, routes: Sequence[BaseRoute], bodies: set[str]
    ) -> None:
        """bodies: paths that take a body, by POST alone."""
        self._limits = limits
        self._door = door
        self._routes = routes
        self._bodies = bodies

    def denial(self, head: Head, server: Any, client: Any) -> NotAllowed | None:
        """Why this request has no right to search; None if it has one."""
        try:
            self._door.check(
                {"type": "http", "headers": head.headers, "server": server, "client": client}, "search"
            )
        except NotAllowed as error:
            return error
        return None

    def objection(self, head: Head, denial: NotAllowed | None) -> CorpusmillError | None:
        """Why a request is not taken at all."""
        if head.size > self._limits.head_bytes:
            return self.too_long(len(head.path))
        if wrong := wrong_host(head.headers, head.version):
            return Malformed(wrong)
        if head.named.get(b"upgrade", b"").lower() == b"websocket":
            return Malformed("there are no websockets here")
        if denial is not None and is_guarded(head.path) and head.method != "OPTIONS":
            return denial
        return self._body(head) if head.brings_body else None

    def too_long(self, path: int) -> CorpusmillError:
        """The error of a head beyond the limit. path: characters of it."""
        limit = f"longer than {self._limits.head_bytes:,} bytes (limits.head_bytes)"
        if 2 * path > self._limits.head_bytes:
            return PathTooLong(f"the path is {limit}")
        return HeadTooLarge(f"the request's head is {limit}")

    def _body(self, head: Head) -> CorpusmillError | None:
        if head.method != "POST" or head.path not in self._bodies:
            scope = {"type": "http", "method": head.method, "path": head.path, "root_path": "", "headers": []}
            if all(route.matches(scope)[0] is Match.NONE for route in self._routes):
                return NotFound("Not Found", hint="GET /openapi.json lists all routes.")
            return TooLarge(f"{head.method} {head.path[:100]!a} takes no body")
        length = head.named.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            return self.too_large()
        return None

    def too_large(self) -> TooLarge:
        """The error of a body beyond the limit."""
        return TooLarge(
            f"the body is larger than {self._limits.body_bytes:,} bytes (limits.body_bytes)",
            hint="Send fewer queries or texts at a time.",
        )
