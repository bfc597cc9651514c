"""Writes to object storage on a condition that its server checks: there is no object, or still that one."""

from typing import Any

from retrieval.errors import StorageError

_CONDITIONAL = {"s3", "gs"}  # protocols whose servers can refuse to create what exists
_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "conditionNotMet")


def protocols(fs: Any) -> set[str]:
    """Names of the protocols that a file system of fsspec serves."""
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def create_object(fs: Any, url: str, path: str, data: bytes) -> bool:
    """Write an object unless it exists; whether it was written.

    Raises StorageError for storage that cannot do so in one step.
    """
    if not _CONDITIONAL & protocols(fs):
        raise StorageError(
            f"{url} can be read, but no index can be built there: its storage cannot create an object "
            "only if there is none",
            hint="Build on a local disk, s3:// or gs://, then copy the folder.",
        )
    try:
        fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except Exception as error:  # each client has classes of its own for it
        if _is_refusal(error):
            return False
        raise
    return True


def replace_object(fs: Any, path: str, known: bytes, data: bytes) -> bool:
    """Write an object if its content is still `known`; whether it was.

    In one step on S3. gcsfs offers no such condition: there, whoever writes between the look and the write is
    overwritten.
    """
    condition = {}
    if "s3" in protocols(fs):
        condition = {"IfMatch": fs.info(path, refresh=True)["ETag"]}
    if fs.cat_file(path) != known:
        return False
    try:
        fs.pipe_file(path, data, **condition)
    except Exception as error:
        if _is_refusal(error):
            return False
        raise
    return True


def _is_refusal(error: Exception) -> bool:
    """Whether the condition did not hold; s3fs keeps the server's code in the cause alone."""
    return any(word in f"{error} {error.__cause__}" for word in _REFUSED)
