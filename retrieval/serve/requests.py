"""What all routes share: the service, who asks, what errors look like in the documentation."""

from typing import Any

from fastapi import Request

from retrieval.serve.access import Role, check, is_loopback
from retrieval.serve.schemas import ErrorResponse
from retrieval.serve.service import Service

_ERRORS = {
    401: "a key is needed",
    413: "larger than a limit",
    422: "cannot be searched as it is",
    503: "overloaded, or a part does not answer; see Retry-After",
    504: "took longer than it may",
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text} for status, text in _ERRORS.items()
}


def service_of(request: Request) -> Service:
    """The service of this replica."""
    service: Service = request.app.state.service
    return service


def allow(request: Request, role: Role) -> Service:
    """The service, if this request may use it. Raises NotAllowed or Forbidden."""
    server = request.scope.get("server") or (None,)
    client = request.client.host if request.client else None
    local = is_loopback(server[0]) and is_loopback(client)
    check(request.app.state.keys, role, request.headers.get("authorization"), local=local)
    return service_of(request)
