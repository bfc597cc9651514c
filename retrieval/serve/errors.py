"""Errors that only a service has, and the status that each error has on the wire."""

from retrieval.errors import ConfigError, CorpusmillError, DeadlineExceeded, InputError, ModelError
from retrieval.generation.generators import GenerationError


class Unavailable(CorpusmillError):
    """A part of the service does not answer, or a full answer was required and cannot be had."""


class Overloaded(CorpusmillError):
    """More requests wait than may."""


class TooLarge(CorpusmillError):
    """A request is larger than a limit."""


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
    (TooLarge, 413),
    (TooSlow, 408),
    (NotAllowed, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Refused, 409),
    (GenerationError, 502),
    (ModelError, 503),
    (Overloaded, 503),
    (Unavailable, 503),
    (DeadlineExceeded, 504),
    (ClientLeft, 499),  # as proxies log it; nobody reads it
    (ConfigError, 422),
    (InputError, 422),
]


def status_of(error: CorpusmillError) -> int:
    """The HTTP status of an error; 500 where the index or the machine is at fault."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
