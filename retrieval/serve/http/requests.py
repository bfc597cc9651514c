"""What all routes share: the service, who asks, what errors look like in the documentation."""

from typing import Any

from fastapi import Request

from retrieval.search import check_queries
from retrieval.serve.errors import TooLarge, checking
from retrieval.serve.http.access import Role
from retrieval.serve.http.schemas import ErrorResponse, Options
from retrieval.serve.runtime import Service

_ERRORS = {
    400: "no JSON",
    401: "a key is needed",
    403: "the key may not do this",
    404: "not in the index",
    408: "the body came too slowly",
    409: "the version cannot be served, or another is being opened",
    413: "larger than a limit",
    422: "cannot be searched as it is",
    502: "the generator failed",
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
    """The service, if this request may use it. Raises NotAllowed or Forbidden.

    Who is let in to administer is told of errors in full.
    """
    request.app.state.door.check(request.scope, role)
    request.state.full = role == "admin"
    return service_of(request)


def check_text(service: Service, texts: list[str]) -> None:
    """Raises BadRequest for what cannot be encoded, TooLarge for what is too long."""
    limit = service.settings.limits.query_characters
    for text in texts:
        at_most(len(text), limit, "characters in a text", "limits.query_characters")
    with checking():
        check_queries(texts)


def check_options(service: Service, asked: Options, queries: int = 1) -> None:
    """Raises TooLarge where a search asks for more than the limits."""
    limits = service.settings.limits
    at_most(asked.k, limits.k, "passages (k)", "limits.k")
    at_most(queries * asked.k, limits.hits, "passages (queries times k)", "limits.hits")
    if asked.explain:
        at_most(queries * asked.k, limits.explained, "passages to explain", "limits.explained")
    if asked.filter is not None:
        at_most(len(str(asked.filter)), limits.filter_characters, "characters", "limits.filter_characters")


def seconds_of(timeout_ms: int | None) -> float | None:
    """How long a request may take, where it says so."""
    return None if timeout_ms is None else timeout_ms / 1000


def at_most(number: int, limit: int, what: str, name: str) -> None:
    """Raises TooLarge, which names the limit."""
    if number > limit:
        raise TooLarge(f"{number:,} {what} are more than {limit:,}, the most that is allowed ({name})")
