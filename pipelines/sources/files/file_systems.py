"""File systems of the corpus through fsspec: opened, and their failures told to people."""

import io
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from retrieval.errors import ConfigError, StorageError
from retrieval.storage import check_scheme


class NotAFile(OSError):
    """What was to be read is no regular file."""


class LocalFiles(LocalFileSystem):
    """The local disk, of which regular files alone are opened: to open a FIFO would wait for a writer."""

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError("the corpus is read, not written")
        handle = os.open(self._strip_protocol(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise NotAFile("it is not a regular file")
            return open(handle, "rb")
        except BaseException:
            os.close(handle)
            raise


def file_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """(fsspec file system, path in it) of a path or URL. Raises ConfigError for a URL that none serves."""
    check_scheme(url, "corpus.paths")
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise ConfigError(
            f"corpus.paths: {url} needs a package that is not installed", hint=str(error)
        ) from error
    except ValueError as error:
        raise ConfigError(f"corpus.paths: {url}: {error}", hint="Check how it is written.") from error
    if isinstance(fs, LocalFileSystem):
        fs = LocalFiles(*fs.storage_args, **fs.storage_options)
    elif "http" in fs.protocol:
        from pipelines.sources.files.web import WebFiles  # its client takes a while to load

        fs = WebFiles(*fs.storage_args, **fs.storage_options)
    return fs, str(path)


def storage_error(url: str, error: Exception) -> StorageError:
    """What the user reads of an error that a file system or its client library raised."""
    return StorageError(
        f"cannot read {url}: {type(error).__name__}: {error}",
        hint="Check that it is still there, that this node may read it, and the network; "
        "then run the build again: it goes on where it stopped.",
    )


def version_of(fs: Any, path: str, info: Mapping[str, Any]) -> str:
    """What changes when the file's bytes change: its etag, else size and time of change."""
    if isinstance(fs, LocalFileSystem):
        status = os.stat(path)
        return f"{status.st_size}-{status.st_mtime_ns}"
    etag = info.get("ETag") or info.get("etag")
    if etag:
        return str(etag).strip('"')
    changed = info.get("mtime") or info.get("LastModified") or info.get("created") or ""
    if isinstance(changed, datetime):  # the memory file system gives a number in listings
        changed = changed.timestamp()
    return f"{info.get('size')}-{changed}"
