"""Errors written for people: what was wrong, where, and what to do next."""


class CorpusmillError(Exception):
    """Base of every error that the command line prints without a traceback.

    `hint` says what to do next and is printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple:  # keyword-only arguments do not survive pickling by default
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[CorpusmillError], message: str, hint: str) -> CorpusmillError:
    return kind(message, hint=hint)


class ConfigError(CorpusmillError):
    """The configuration or an argument cannot be used."""

    exit_code = 2


class InputError(CorpusmillError):
    """The corpus cannot be used: nothing found, too many rejects, ids that occur twice."""


class ModelError(CorpusmillError):
    """A model cannot be found, or may not be loaded as it is."""


class StorageError(CorpusmillError):
    """Storage is full, unreachable, or not where it is said to be."""


class DeadlineExceeded(CorpusmillError):
    """The time that was allowed is over."""


class IndexDamaged(CorpusmillError):
    """An artefact is missing, or differs from what the manifest says of it."""


class IndexBusy(CorpusmillError):
    """Another builder holds the index."""

    exit_code = 3


class BuildFailed(CorpusmillError):
    """Some parts failed; what is finished stays, and the same command goes on."""


class GenerationError(CorpusmillError):
    """A generator did not answer, or not to the end."""
