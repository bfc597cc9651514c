"""What one of `corpus.paths` reaches, as its file system lists it."""

import difflib
import errno
import glob
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipelines.config import CorpusSettings
from pipelines.sources.files.file_systems import file_system, storage_error
from pipelines.sources.files.foreign_indexes import Indexes, below
from pipelines.sources.files.left_out import INDEX
from pipelines.sources.files.walk import Entry, Walk, folder_link, may_read, special
from retrieval.errors import CorpusmillError, InputError

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """A file, or what is no file with the reason; `name` is relative to what the user named."""

    fs: Any
    path: str
    name: str
    info: dict[str, Any]
    named: bool  # by itself or by a glob, so that it is taken whatever its name ends in
    label: str = ""
    reason: str = ""  # why it is left out; empty: it is a file

    @property
    def on_disk(self) -> bool:
        """Whether it lies on a local disk, where names are bytes."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """Where it lies: a path on a local disk, else a URL."""
        return self.path if self.on_disk else str(self.fs.unstrip_protocol(self.path))


def find(given: str, corpus: CorpusSettings) -> list[Found]:
    """What a path, folder, glob or URL reaches, by name. Raises InputError and StorageError."""
    fs, path = file_system(given, corpus.storage_options)
    try:
        fs.invalidate_cache()
        once: dict[str, Found] = {}  # a glob reaches what lies in a folder that it names by several ways
        for item in _Finder(fs, given, corpus.follow_links).found(path):
            once.setdefault(item.path, item)
        return sorted(once.values(), key=lambda item: item.name)
    except CorpusmillError:
        raise
    except Exception as error:  # file systems raise errors of their own client libraries
        raise storage_error(given, error) from error


class _Finder:
    def __init__(self, fs: Any, given: str, follow: bool) -> None:
        self._fs = fs
        self._given = given
        self._follow = follow
        self._local = isinstance(fs, LocalFileSystem)
        self._indexes = Indexes(fs)

    def found(self, path: str) -> Iterator[Found]:
        try:
            info = self._fs.info(path)
        except FileNotFoundError:
            if not _MAGIC & set(path):
                raise self._missing("does not exist", path) from None
            yield from self._globbed(path)
            return
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise InputError(f"corpus.paths: {self._given} is a link to itself") from error
        self._check_no_index(path if info["type"] == "directory" else posixpath.dirname(path))
        if self._local and not special(os.stat(path).st_mode):
            self._check_readable(path, info["type"] == "directory")
        if info["type"] == "directory":
            yield from self._in_folder(path, path, Walk(path, self._indexes, follow=self._follow))
            return
        if self._local and (kind := special(os.stat(path).st_mode)):
            raise InputError(
                f"corpus.paths: {self._given} is a {kind}, not a file or a folder",
                hint="Write what it gives into a file first, and name that.",
            )
        yield Found(self._fs, path, posixpath.basename(path), info, named=True)

    def _globbed(self, pattern: str) -> Iterator[Found]:
        fixed = posixpath.dirname(pattern[: min(pattern.index(c) for c in _MAGIC & set(pattern))])
        self._check_no_index(fixed)
        matches = self._fs.glob(pattern, detail=True)
        if not matches:
            raise self._missing(None, pattern)
        folders = {path.rstrip("/") for path, info in matches.items() if info["type"] == "directory"}
        files = matches.keys() - folders
        walks: dict[str, Walk] = {}
        for path, info in matches.items():
            name = posixpath.relpath(path, fixed or "/")
            top = _top(path, folders, fixed)
            # Who may follow links has one walk, which knows what it has entered.
            walk = walks.setdefault(
                "" if self._follow else top, Walk(top, self._indexes, follow=self._follow)
            )
            entry = walk.look(path, is_link=os.path.islink(path)) if self._local else Entry(path)
            folder = info["type"] == "directory" or (entry is None and self._follow)
            if inside := self._indexes.around(path if folder else posixpath.dirname(path)):
                yield self._left_out(_index(inside), posixpath.relpath(inside, fixed or "/"))
            elif folder and path.rstrip("/") != top and path in folders:
                continue  # the walk of the folder around it comes here
            elif folder:
                yield from (item for item in self._in_folder(path, fixed, walk) if item.path not in files)
            elif entry is None:
                yield self._left_out(folder_link(path), name)
            elif entry.reason:
                yield self._left_out(entry, name)
            else:
                own = {"type": "file", "size": entry.size} if self._local else info
                yield Found(self._fs, path, name, own, named=True)

    def _in_folder(self, folder: str, root: str, walk: Walk) -> Iterator[Found]:
        if self._local:
            for entry in walk.below(folder):
                name = posixpath.relpath(entry.path, root or "/")
                if entry.reason:
                    yield self._left_out(entry, name)
                else:
                    info = {"type": "file", "size": entry.size}
                    yield Found(self._fs, entry.path, name, info, named=False)
            return
        listed = self._fs.find(folder, detail=True)
        indexes = self._indexes.roots(listed)
        for index in indexes:
            yield self._left_out(_index(index), posixpath.relpath(index, root or "/"))
        for path, info in listed.items():
            # Some object stores keep an empty object for a folder.
            if not path.endswith("/") and not below(path, indexes):
                yield Found(self._fs, path, posixpath.relpath(path, root or "/"), info, named=False)

    def _left_out(self, entry: Entry, name: str) -> Found:
        return Found(self._fs, entry.path, name, {}, named=True, label=entry.label, reason=entry.reason)

    def _check_no_index(self, folder: str) -> None:
        if index := self._indexes.around(folder):
            raise InputError(
                f"corpus.paths: {self._given} lies in an index of corpusmill, {index}",
                hint="Name the documents that the index was built from.",
            )

    def _check_readable(self, path: str, is_folder: bool) -> None:
        """Raise OSError for what is named and may not be read; what lies below it is left out."""
        if is_folder:
            os.stat(posixpath.join(path, "."))  # which asks whether its entries may be looked at
        if not may_read(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def _missing(self, what: str | None, path: str) -> InputError:
        told = f"{self._given} {what}" if what else f"nothing matches {self._given}"
        return InputError(f"corpus.paths: {told}", hint=_nearest(self._fs, path))


def _top(path: str, folders: set[str], fixed: str) -> str:
    """The folder that a match may not lead out of: the outermost match around it, itself, or its parent.

    The fixed start of a pattern is none: nobody has named what else lies there.
    """
    path = path.rstrip("/")
    top = path if path in folders else posixpath.dirname(path)
    above = path
    while len(above) > len(fixed.rstrip("/")) and above != posixpath.dirname(above):
        if above in folders:
            top = above
        above = posixpath.dirname(above)
    return fixed if fixed in folders else top


def _index(folder: str) -> Entry:
    return Entry(folder, label=INDEX, reason="an index of corpusmill")


def _nearest(fs: Any, path: str) -> str:
    """Hint with the existing name nearest to the first missing piece of `path`."""
    parent, name = posixpath.split(path.rstrip("/"))
    while parent and not fs.exists(parent) and posixpath.dirname(parent) != parent:
        parent, name = posixpath.split(parent)
    try:
        siblings = sorted(posixpath.basename(p.rstrip("/")) for p in fs.ls(parent, detail=False))
    except (OSError, ValueError):
        return "Check the path."
    if not siblings:
        return f"{parent or '/'} is empty."
    # Of a pattern that matches nothing, something that is there.
    cutoff = 0.0 if glob.has_magic(name) else 0.6
    if near := difflib.get_close_matches(name, siblings, n=1, cutoff=cutoff):
        return f"Nearest in {parent or '/'}: {near[0]}"
    return f"Nothing in {parent or '/'} has a name like it."
