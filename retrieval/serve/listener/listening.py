"""Ray's server of an ingress replica that listens itself, with connections of ours."""

import os
import resource
from functools import partial
from typing import Any

from fastapi import FastAPI
from ray.serve._private import replica

from retrieval.serve.listener.connection import Connection
from retrieval.serve.listener.hall import Hall
from retrieval.serve.listener.rules import Rules

LISTEN_HOST = "CORPUSMILL_LISTEN"  # variable with the address to listen on; Ray's own proxy keeps to loopback
SPARE_FILES = 1_024  # for all else that a replica has open


def listen(app: FastAPI) -> None:
    """Have Ray start the server of this replica, if it is to listen itself, with connections of ours.

    There is no setting for a protocol of one's own in Ray 2.60, nor one for SO_REUSEADDR: without that, what
    takes the place of a replica that died would be refused its port for a minute.
    """
    start = replica.start_asgi_http_server
    hall = _hall(app)

    async def starting(app: Any, http_options: Any, **options: Any) -> Any:
        hall.begin(options["event_loop"], _files())
        own = http_options.model_copy(update={"host": os.environ.get(LISTEN_HOST, http_options.host)})
        task, server = await start(app, own, **{**options, "enable_so_reuseport": True})
        server.config.http, server.config.ws = partial(Connection, hall), "none"  # read when the task begins
        return task, server

    replica.start_asgi_http_server = starting


def _hall(app: FastAPI) -> Hall:
    service, door = app.state.service, app.state.door
    bodies = {path for path, methods in app.openapi()["paths"].items() if "post" in methods}
    rules = Rules(service.settings.limits, door, app.routes, bodies)
    origins = service.settings.access.cors_origins
    return Hall(service.settings.limits, rules, service.metrics, free=not door.has_keys, origins=origins)


def _files() -> int:
    """Connections that this process has file descriptors for; as many as the system lets it have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return 1 << 20
    return max(64, hard - SPARE_FILES)
