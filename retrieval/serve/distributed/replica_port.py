"""The port on which other replicas reach one, for which Ray 2.60 has no settings."""

from typing import Any

import ray
from ray._common.network_utils import build_address, is_localhost
from ray.serve._private import replica

_add_port = replica.add_port_to_grpc_server


def keep_to_loopback() -> None:
    """Where this Ray is this machine's alone, this port is too. Called by every deployment as it starts."""
    replica.add_port_to_grpc_server = _listen_for_replicas


def _listen_for_replicas(server: Any, address: str) -> int:
    """Ray's own, which takes the port of all interfaces."""
    host = ray.util.get_node_ip_address()
    return int(_add_port(server, build_address(host, 0) if is_localhost(host) else address))
