"""The HTTP interface: routes, errors, documentation."""

import os
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from retrieval.errors import CorpusmillError
from retrieval.serve.errors import BadRequest, NotFound
from retrieval.serve.http import entrance, routes_answer, routes_index, routes_search
from retrieval.serve.http.access import AccessPolicy, Keys
from retrieval.serve.http.guard import Guard, error_response, json_response
from retrieval.serve.logs import log
from retrieval.serve.runtime import Service

PLAYGROUND = Path(__file__).parent / "playground"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_DESCRIPTION = (
    "Retrieval, re-ranking and answers over one index. Keys go into the header "
    "`Authorization: Bearer KEY`. Every answer names the version of the index and how much of it it is from."
)


def make_app(service: Service, keys: Keys) -> FastAPI:
    """The application of one ingress replica."""
    app = FastAPI(
        title="corpusmill", version="1", description=_DESCRIPTION, docs_url=None, redoc_url=None,
        redirect_slashes=False,  # a redirect would name the host that the request names
    )  # fmt: skip
    if entrance.MIDDLEWARES_VARIABLE not in os.environ:
        log.warning(
            "headers reach Ray Serve as they come: set %s=%s",
            entrance.MIDDLEWARES_VARIABLE,
            entrance.MIDDLEWARES,
        )
    app.state.service = service
    app.state.door = AccessPolicy(keys, service.settings.access.cors_origins)
    app.include_router(routes_search.router)
    app.include_router(routes_answer.router)
    app.include_router(routes_index.router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/playground/{name:path}", _asset, include_in_schema=False)
    app.add_exception_handler(CorpusmillError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    limits = service.settings.limits
    app.add_middleware(
        Guard, door=app.state.door, body_bytes=limits.body_bytes, body_s=limits.body_s,
        metrics=service.metrics,
    )  # fmt: skip
    origins = service.settings.access.cors_origins
    if origins:  # around the guard, so that a page sees its refusals too
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
        )  # fmt: skip
    return app


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, CorpusmillError)
    return error_response(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    """What does not fit the schema. The input itself is not echoed: it may be any bytes."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    steps = [str(step) for step in first["loc"] if step != "body"]
    place = "the body" if first["type"] == "json_invalid" or not steps else ".".join(steps)
    place = place.encode("ascii", "backslashreplace").decode()[:200]
    told = BadRequest(f"{place}: {first['msg']}", hint="GET /openapi.json describes every request.")
    return error_response(request, told)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {
        "type": "NotFound" if error.status_code == 404 else "HTTPError", "message": str(error.detail),
        "hint": "GET /openapi.json lists all routes.", "request_id": request.state.request_id,
    }  # fmt: skip
    headers = dict(error.headers or {})
    return json_response({"error": body}, error.status_code, headers)


async def _page() -> Response:
    return await _asset("index.html")


async def _asset(name: str) -> Response:
    known = {entry.relative_to(PLAYGROUND).as_posix(): entry for entry in PLAYGROUND.rglob("*.*")}
    path = known.get(name)
    if path is None or path.suffix not in _TYPES:
        raise NotFound(f"there is no {name[:100]!a}")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})
