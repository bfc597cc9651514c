"""Folders that are indexes of corpusmill, which no build reads as corpus: a marker at their root says so."""

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipelines.sources.storage import NotAFile
from retrieval.storage import MARKER, MOST_MARKER_BYTES, is_marker


class Indexes:
    """Tells folders of one file system that are indexes, or lie in one; each folder is looked at once."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs
        self._local = isinstance(fs, LocalFileSystem)
        self._known: dict[str, str] = {}  # folder to the index that it is or lies in, "" for none

    def is_index(self, folder: str) -> bool:
        """Whether a folder is the root of an index. Raises what the file system raises but "not found"."""
        try:
            options: dict[str, Any] = {} if self._local else {"cache_type": "none"}
            with self._fs.open(posixpath.join(folder, MARKER), "rb", **options) as file:
                data = file.read(MOST_MARKER_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotAFile):
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link to itself
                return False
            raise
        return is_marker(data)

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
        folders = (posixpath.dirname(path) for path in paths if posixpath.basename(path) == MARKER)
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
