"""Errors that only a service has, the status of each error on the wire, and what a client is told of it.

The message of an error may name files, addresses and settings of the server: it goes to the log, and to who
may administer. Others are told by kind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from retrieval.errors import (
    ConfigError,
    CorpusmillError,
    DeadlineExceeded,
    GenerationError,
    IndexDamaged,
    InputError,
    ModelError,
    StorageError,
)
from retrieval.serve.logs import log


class BadRequest(CorpusmillError):
    """What is asked cannot be answered as it is asked. The message is about the request alone."""


class Unavailable(CorpusmillError):
    """A part of the service does not answer."""


class Incomplete(Unavailable):
    """A full answer was required and cannot be had, or no part of the index answers."""


class Overloaded(CorpusmillError):
    """More requests wait than may."""


class TooLarge(CorpusmillError):
    """A request is larger than a limit."""


class PathTooLong(TooLarge):
    """The path of a request is longer than its head may be."""


class HeadTooLarge(TooLarge):
    """The head of a request is larger than a limit."""


class Malformed(CorpusmillError):
    """What came is no request that is understood here."""


class TooSlow(CorpusmillError):
    """A request did not arrive in time."""


class ClientLeft(CorpusmillError):
    """Nobody waits for the answer any more."""


class NotAllowed(CorpusmillError):
    """The key is missing or wrong."""


class Forbidden(CorpusmillError):
    """The key is right but may not do this."""


class NotFound(CorpusmillError):
    """What was named is not in the index."""


class Refused(CorpusmillError):
    """A version of the index that cannot be served."""


_STATUS: list[tuple[type[CorpusmillError], int]] = [
    (BadRequest, 422),
    (PathTooLong, 414),
    (HeadTooLarge, 431),
    (TooLarge, 413),
    (Malformed, 400),
    (TooSlow, 408),
    (NotAllowed, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Refused, 409),
    (GenerationError, 502),
    (ModelError, 503),
    (StorageError, 503),
    (Overloaded, 503),
    (Unavailable, 503),
    (DeadlineExceeded, 504),
    (ClientLeft, 499),  # as proxies log it; nobody reads it
    (ConfigError, 422),
    (InputError, 422),
]

# Raised by the service itself, of nothing but the request, limits and counts: all may read their messages.
OWN = (BadRequest, Incomplete, Malformed, Overloaded, TooLarge, TooSlow, NotAllowed, Forbidden, NotFound)
_PUBLIC: list[tuple[type[CorpusmillError], str]] = [
    (IndexDamaged, "the index is damaged"),
    (StorageError, "the storage of the index does not answer"),
    (ModelError, "a model that this needs cannot be used"),
    (GenerationError, "the generator failed"),
    (DeadlineExceeded, "the request took longer than it may"),
    (Unavailable, "a part of the service does not answer"),
    (Refused, "this version of the index cannot be served"),
    (ConfigError, "the service cannot do this as it is configured"),
    (InputError, "a text cannot be used as it is"),
]
_HINT = "The service's log says more under this request's id."


def status_of(error: CorpusmillError) -> int:
    """The HTTP status of an error; 500 where the index or the machine is at fault."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def public(error: BaseException) -> str:
    """What anybody may be told of an error: its kind, and nothing of the server."""
    if isinstance(error, CorpusmillError) and isinstance(error, OWN):
        return error.message
    return next((text for kind, text in _PUBLIC if isinstance(error, kind)), "the service failed")


def error_body(error: CorpusmillError, request_id: str, *, full: bool = False) -> dict[str, str]:
    """An error as it is on the wire. What is held back from a client is written to the log.

    full: for who may administer.
    """
    message, hint = error.message, error.hint
    if not full and not isinstance(error, OWN):
        log.error("request %s: %s: %s", request_id, type(error).__name__, error)
        message, hint = public(error), _HINT
    return {"type": type(error).__name__, "message": message, "hint": hint, "request_id": request_id}


def unexpected(error: BaseException) -> CorpusmillError:
    """An error that is not ours, as one of ours: its message may hold anything."""
    return CorpusmillError(f"unexpected {type(error).__name__}")


@contextmanager
def checking() -> Iterator[None]:
    """Around checks of a request: what they raise is about it, and may be told to who asked."""
    try:
        yield
    except (ConfigError, InputError) as error:
        raise BadRequest(error.message, hint=error.hint) from error


def public_name(model: str) -> str:
    """A model's name without the folder that it may lie in."""
    return PurePath(model).name if model.startswith(("/", ".", "~")) else model
