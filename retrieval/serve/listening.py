"""Where a replica listens, for which Ray 2.60 has no settings. Called by every deployment as it starts."""

import os
from typing import Any

import ray
from ray._common.network_utils import build_address, is_localhost
from ray.serve._private import replica

HOST_VARIABLE = "_CORPUSMILL_SERVE_HOST"  # `corpusmill serve` tells replicas that listen themselves
_start_http = replica.start_asgi_http_server
_add_port = replica.add_port_to_grpc_server


def listen_as_asked() -> None:
    """Where this Ray is this machine's alone, the replica's port for other replicas is too."""
    replica.start_asgi_http_server = _listen
    replica.add_port_to_grpc_server = _listen_for_replicas


async def _listen(application: Any, options: Any, **how: Any) -> Any:
    """Ray's own, on the host that was asked for, also where connections of the one before are in TIME_WAIT.

    Ray binds without SO_REUSEADDR: after a crash or a restart the port would be refused for a minute.
    """
    host = os.environ.get(HOST_VARIABLE, options.host)
    asked = options.model_copy(update={"host": host})
    return await _start_http(application, asked, **{**how, "enable_so_reuseport": True})


def _listen_for_replicas(server: Any, address: str) -> int:
    """Ray's own, which takes the port of all interfaces."""
    host = ray.util.get_node_ip_address()
    return int(_add_port(server, build_address(host, 0) if is_localhost(host) else address))
