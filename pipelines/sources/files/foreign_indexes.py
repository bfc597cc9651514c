"""Folders that are indexes of corpusmill, which no build reads as corpus.

A marker at their root says so; where it is gone or damaged, LATEST beside the manifest that it names does.
"""

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipelines.sources.files.file_systems import NotAFile
from retrieval.format import LATEST, parse_latest, version_key
from retrieval.storage import MARKER as MARKER
from retrieval.storage import MOST_MARKER_BYTES as MOST_MARKER_BYTES
from retrieval.storage import is_marker


class Indexes:
    """Tells folders of one file system that are indexes, or lie in one; each folder is looked at once."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs
        self._local = isinstance(fs, LocalFileSystem)
        self._known: dict[str, str] = {}  # folder to the index that it is or lies in, "" for none

    def is_index(self, folder: str) -> bool:
        """Whether a folder is the root of an index. Raises what the file system raises but "not found"."""
        if is_marker(self._read(folder, MARKER)):
            return True
        version = parse_latest(self._read(folder, LATEST))
        return version is not None and bool(self._read(folder, version_key(version)))

    def _read(self, folder: str, key: str) -> bytes:
        """The beginning of a file; empty where there is none."""
        try:
            options: dict[str, Any] = {} if self._local else {"cache_type": "none"}
            with self._fs.open(posixpath.join(folder, key), "rb", **options) as file:
                data: bytes = file.read(MOST_MARKER_BYTES + 1)
                return data
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotAFile):
            return b""
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link to itself
                return b""
            raise

    def around(self, folder: str) -> str:
        """The index that a folder is or lies in, links resolved; "" where there is none."""
        folder = os.path.realpath(folder) if self._local else folder.rstrip("/")
        path: list[str] = []
        found = ""
        for above in _upwards(folder):
            path.append(above)
            if above in self._known:
                found = self._known[above]
                break
            if self._marked(above):
                found = above
                break
        self._known.update(dict.fromkeys(path, found))
        return found

    def _marked(self, folder: str) -> bool:
        try:
            return self.is_index(folder)
        except Exception:  # above the corpus there may be nothing that may be read, or that is a folder
            return False

    def roots(self, paths: Iterable[str]) -> set[str]:
        """The indexes among listed paths of files."""
        named = (MARKER, LATEST)
        folders = {posixpath.dirname(path) for path in paths if posixpath.basename(path) in named}
        return {folder for folder in folders if self.is_index(folder)}


def below(path: str, roots: set[str]) -> bool:
    """Whether a path lies in one of the folders."""
    return bool(roots) and any(folder in roots for folder in _upwards(posixpath.dirname(path)))


def _upwards(folder: str) -> Iterator[str]:
    """The folder and those above it; of a URL not further than its host."""
    while folder and not folder.endswith(":") and not folder.endswith(":/"):
        yield folder
        parent = posixpath.dirname(folder)
        if parent == folder:
            return
        folder = parent
