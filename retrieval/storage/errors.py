"""Turns what file systems and their clients raise into errors that say what to do."""

import contextlib
import errno
from collections.abc import Iterator

from retrieval.errors import IndexDamaged, StorageError


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a file system raises into errors that say what to do; FileNotFoundError passes."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, StorageError, IndexDamaged):
        raise
    except ImportError as error:
        protocol = url.split(":", 1)[0]
        extra = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}.get(protocol)
        fix = (
            f"pip install 'corpusmill[{extra}]'" if extra else f"Install the fsspec package of {protocol}://."
        )
        raise StorageError(f"no support for {protocol}:// is installed: {error}", hint=fix) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"no space is left on the disk of {url}",
                hint="Make space, then run the same command: finished parts are kept.",
            ) from error
        if error.errno == errno.EROFS:
            raise StorageError(f"{url} is on a read-only file system", hint="Name another place.") from error
        if isinstance(error, PermissionError):
            raise StorageError(
                f"no permission for {url}: {error}", hint="Check owner, mode or credentials."
            ) from error
        if isinstance(error, NotADirectoryError):
            raise StorageError(f"{url} is not a folder", hint="Name a folder, or one to be made.") from error
        # A link to itself, a folder in the place of a file, a disk that fails, a server that is gone, ...
        raise StorageError(f"{url} cannot be used: {error}", hint="Check what lies there.") from error
    except ValueError as error:
        if "rotocol" in str(error):  # fsspec: "Protocol not known: xyz"
            raise StorageError(
                f"{url}: {error}", hint="Use a local path, s3://, gs:// or another fsspec protocol."
            ) from error
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("botocore", "aiobotocore", "aiohttp", "google", "gcsfs"):
            raise StorageError(
                f"{url} cannot be used: {error}", hint="Check the endpoint and the credentials."
            ) from error
        raise
