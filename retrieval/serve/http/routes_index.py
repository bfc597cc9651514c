"""The index, its passages, and the state of the service."""

import asyncio
import urllib.request
from functools import partial
from typing import Any

import ray
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError, DeadlineExceeded, StorageError
from retrieval.format import Manifest
from retrieval.models.cross_encoders import PACKAGED_CROSS_ENCODER as PACKAGED
from retrieval.models.encoders import check_unicode
from retrieval.results import PASSAGE
from retrieval.serve.errors import (
    Forbidden,
    NotAllowed,
    NotFound,
    Overloaded,
    Refused,
    Unavailable,
    checking,
    public,
    public_name,
)
from retrieval.serve.http.disconnects import unless_left
from retrieval.serve.http.examples import FAILING, INDEX, REFUSED, STATE, not_ready, responses
from retrieval.serve.http.guard import json_response
from retrieval.serve.http.requests import DOCUMENTED, allow, service_of
from retrieval.serve.runtime import Service, generator_name

router = APIRouter(responses=DOCUMENTED, redirect_slashes=False)
METRICS_S = 5
METRICS_BYTES = 50_000_000


@router.get("/v1/index", responses=responses(INDEX), summary="Version, counts, models and measured recall")
async def index(request: Request) -> Response:
    """What is served."""
    service = allow(request, "search")

    async def work(deadline: Deadline) -> dict[str, Any]:
        with service.backend.use(service.version, deadline) as path:
            return described(path.manifest, service)

    return json_response(await service.run(work))


@router.get(
    "/v1/passages/{passage_id:path}", responses=responses({**vars(PASSAGE), "version": 3}),
    summary="A passage by its id",
)  # fmt: skip
async def passage(request: Request, passage_id: str) -> Response:
    """A passage with its place in the document, and the version that it was read from."""
    service = allow(request, "search")
    with checking():
        check_unicode([passage_id], "passage id")

    async def work(deadline: Deadline) -> tuple[int, Any]:
        version = service.version
        with service.backend.use(version, deadline) as path:
            return version, await service.in_thread(deadline, partial(path.find, passage_id))

    version, found = await unless_left(request, service.run(work))
    if found is None:
        raise NotFound(
            f"version {version} has no passage {passage_id[:200]!a}", hint="An id is DOC_ID#NUMBER."
        )
    return json_response({**vars(found), "version": version})


@router.post("/v1/index/reload", responses=responses(STATE), summary="Serve the latest version now (admin)")
async def reload(request: Request) -> Response:
    """Open, prove and take the version that LATEST names; the old one stays where that fails."""
    service = allow(request, "admin")
    try:
        latest = await service.latest.read()
        await service.take(latest)
    except (StorageError, Unavailable, Overloaded, DeadlineExceeded):
        raise
    except CorpusmillError as error:
        told = f"what LATEST names is refused, version {service.version} stays: {error.message}"
        raise Refused(told, hint=error.hint) from error
    return json_response(state(service, full=True))


@router.get("/healthz", responses=responses({"alive": True}), summary="Whether the process lives")
async def healthz() -> Response:
    """Always 200."""
    return json_response({"alive": True})


@router.get(
    "/readyz", responses={**responses(REFUSED), 503: not_ready(FAILING)},
    summary="Whether searches are answered, and what is wrong",
)  # fmt: skip
async def readyz(request: Request) -> Response:
    """503 while no version answers or every search fails. Who may administer is told all of what is wrong."""
    service, full = service_of(request), True
    try:
        request.app.state.door.check(request.scope, "admin")
    except (NotAllowed, Forbidden):
        full = False
    return json_response(state(service, full=full), 200 if service.ready else 503)


@router.get("/metrics", response_class=PlainTextResponse, summary="Metrics of this node for Prometheus")
async def metrics(request: Request) -> Response:
    """Those of every process of this node, as Ray's exporter has them; scrape each node of a cluster."""
    allow(request, "search")
    return Response(await asyncio.to_thread(_exported), media_type="text/plain; version=0.0.4")


def state(service: Service, *, full: bool) -> dict[str, Any]:
    """What /readyz says; `full` names files."""

    def told(error: CorpusmillError) -> str:
        return error.message if full else public(error)

    refused, problems = service.refused, []
    if service.health.problem is not None:
        problems.append(f"every search fails: {told(service.health.problem)}")
    if service.latest.problem is not None:
        problems.append(f"LATEST cannot be followed: {told(service.latest.problem)}")
    if refused is not None:
        problems.append(f"version {refused.version} is refused: {told(refused.error)}")
    return {
        "ready": service.ready, "version": service.version, "problems": problems,
        "refused": refused and {"version": refused.version, "why": told(refused.error)},
    }  # fmt: skip


def described(manifest: Manifest, service: Service) -> dict[str, Any]:
    """The index as /v1/index tells it; nothing of where its files lie."""
    limits = service.settings.limits
    return {
        "version": manifest.version, "created": manifest.created, "documents": manifest.documents,
        "passages": manifest.passages, "shards": len(manifest.shards),
        "model": public_name(manifest.model["query"]["name"]), "dimension": manifest.dense["dimension"],
        "late_interaction": _name(manifest.late_interaction), "cross_encoder": _name(manifest.cross_encoder),
        "stored_tokens": bool(manifest.token_codec), "lexical": bool(manifest.lexical),
        "dense": manifest.dense_reason, "recall": manifest.recall, "metadata": manifest.metadata,
        "search": manifest.search, "generator": generator_name(service.settings.generation),
        "decodes": list(service.settings.generation.of.decodes),
        "limits": limits.model_dump(),
        **{key: value for key, value in state(service, full=False).items() if key != "version"},
    }  # fmt: skip


def _name(stage: dict[str, Any]) -> str:
    """Of a second stage's model; the card of the default cross-encoder is not in the manifest."""
    name: str = stage.get("model", {}).get("query", {}).get("name", PACKAGED)
    return public_name(name)


def _exported() -> bytes:
    own = ray.get_runtime_context().get_node_id()
    port = next((node["MetricsExportPort"] for node in ray.nodes() if node["NodeID"] == own), 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=METRICS_S) as response:
            found: bytes = response.read(METRICS_BYTES)
            return found
    except OSError as error:
        raise Unavailable(f"Ray's exporter does not answer on port {port} of this node: {error}") from error
