"""The index, its passages, and the state of the service."""

import asyncio
import urllib.request
from functools import partial
from typing import Any

import ray
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from retrieval.cross_encoder.packaged import NAME as PACKAGED
from retrieval.deadline import Deadline
from retrieval.encoder.tokens import check_unicode
from retrieval.errors import ConfigError, IndexDamaged, ModelError
from retrieval.manifest import Manifest
from retrieval.serve.answering import name_of
from retrieval.serve.errors import NotAllowed, NotFound, Refused, Unavailable
from retrieval.serve.examples import INDEX, PASSAGE, REFUSED, STATE, responses
from retrieval.serve.guard import json_response
from retrieval.serve.leaving import unless_left
from retrieval.serve.requests import DOCUMENTED, allow, service_of
from retrieval.serve.service import Service

router = APIRouter(responses=DOCUMENTED)
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
    "/v1/passages/{passage_id:path}", responses=responses({**PASSAGE, "version": 3}),
    summary="A passage by its id",
)  # fmt: skip
async def passage(request: Request, passage_id: str) -> Response:
    """A passage with its place in the document, and the version that it was read from."""
    service = allow(request, "search")
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
    latest = await asyncio.to_thread(service.backend.place.latest)
    if latest is not None:
        try:
            await asyncio.shield(asyncio.ensure_future(service.swap(latest)))
        except (IndexDamaged, ModelError, ConfigError) as error:
            told = f"version {latest} is refused, {service.version} stays: {error.message}"
            raise Refused(told, hint=error.hint) from error
    return json_response(state(service, why=True))


@router.get("/healthz", responses=responses({"alive": True}), summary="Whether the process lives")
async def healthz() -> Response:
    """Always 200."""
    return json_response({"alive": True})


@router.get(
    "/readyz", responses=responses(REFUSED),
    summary="Whether an index is served, and which version was refused",
)  # fmt: skip
async def readyz(request: Request) -> Response:
    """200 as soon as a version answers. Why one was refused is told to those who may search."""
    service = service_of(request)
    try:
        allow(request, "search")
        found = state(service, why=True)
    except NotAllowed:
        found = state(service, why=False)
    return json_response(found, 200 if service.version else 503)


@router.get("/metrics", response_class=PlainTextResponse, summary="Metrics of this node for Prometheus")
async def metrics(request: Request) -> Response:
    """Those of every process of this node, as Ray's exporter has them; scrape each node of a cluster."""
    allow(request, "search")
    return Response(await asyncio.to_thread(_exported), media_type="text/plain; version=0.0.4")


def state(service: Service, *, why: bool) -> dict[str, Any]:
    """What /readyz says; `why` names files."""
    refused: dict[str, Any] | None = None
    if service.refused is not None:
        refused = {"version": service.refused.version, "why": service.refused.why if why else None}
    return {"ready": bool(service.version), "version": service.version, "refused": refused}


def described(manifest: Manifest, service: Service) -> dict[str, Any]:
    """The index as /v1/index tells it; nothing of where its files lie."""
    limits = service.settings.limits
    return {
        "version": manifest.version, "created": manifest.created, "documents": manifest.documents,
        "passages": manifest.passages, "shards": len(manifest.shards),
        "model": manifest.model["query"]["name"], "dimension": manifest.dense["dimension"],
        "late_interaction": _name(manifest.late_interaction), "cross_encoder": _name(manifest.cross_encoder),
        "stored_tokens": bool(manifest.token_codec), "lexical": bool(manifest.lexical),
        "dense": manifest.dense_reason, "recall": manifest.recall, "metadata": manifest.metadata,
        "search": manifest.search, "generator": name_of(service.settings.generation),
        "limits": limits.model_dump(),
        **{key: value for key, value in state(service, why=True).items() if key != "version"},
    }  # fmt: skip


def _name(stage: dict[str, Any]) -> str:
    """Of a second stage's model; the card of the default cross-encoder is not in the manifest."""
    name: str = stage.get("model", {}).get("query", {}).get("name", PACKAGED)
    return name


def _exported() -> bytes:
    own = ray.get_runtime_context().get_node_id()
    port = next((node["MetricsExportPort"] for node in ray.nodes() if node["NodeID"] == own), 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=METRICS_S) as response:
            found: bytes = response.read(METRICS_BYTES)
            return found
    except OSError as error:
        raise Unavailable(f"Ray's exporter on this node does not answer: {error}") from error
