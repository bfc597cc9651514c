"""Answers that need no application: a request that is not taken."""

import re
import uuid
from collections.abc import Collection, Mapping

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from retrieval.errors import CorpusmillError
from retrieval.serve.http import SAFE_HEADERS, error_response

_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")


def refusal(
    error: CorpusmillError, headers: Mapping[bytes, bytes], origins: Collection[str]
) -> tuple[int, bytes]:
    """Status and bytes of the answer to a request with these headers, after which the connection ends."""
    given = headers.get(b"x-request-id", b"")
    request_id = given.decode() if _ID.match(given) else uuid.uuid4().hex
    response = error_response(None, error, request_id)
    response.headers.update({**SAFE_HEADERS, "x-request-id": request_id, "connection": "close"})
    _share(response, headers.get(b"origin", b"").decode("latin-1"), origins)
    lines = [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
    head = STATUS_LINE[response.status_code] + b"".join(lines) + b"\r\n"
    return response.status_code, head + bytes(response.body)


def _share(response: Response, origin: str, origins: Collection[str]) -> None:
    """Let a page that may ask see why it was refused."""
    if origin and (origin in origins or "*" in origins):
        response.headers["access-control-allow-origin"] = origin if origin in origins else "*"
        response.headers["vary"] = "Origin"
