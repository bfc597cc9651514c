"""Local files below a folder: read, not followed. Links that lead out of it and what is no file are told."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.sources.files.foreign_indexes import Indexes
from pipelines.sources.files.left_out import INDEX, LINK, UNREADABLE

_SPECIAL = (
    (stat.S_ISFIFO, "FIFO"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"),
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file of `size` bytes, or what is left out: `label` says why in a word, `reason` in full."""

    path: str
    size: int = 0
    label: str = ""
    reason: str = ""


def folder_link(path: str) -> Entry:
    """A link to a folder, which is left out."""
    return _link(path, "a link to a folder: name the folder in corpus.paths")


def unreadable(path: str, error: OSError | None = None) -> Entry:
    """What this user may not read, or what the system cannot: a path may be too long for it."""
    reason = (error and error.strerror) or "no permission"
    return Entry(path, label=UNREADABLE, reason=f"it cannot be read: {reason}")


def may_read(path: str) -> bool:
    """Whether this user may read a local file."""
    return os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


def special(mode: int) -> str:
    """What something is that is neither a file nor a folder, in a word; "" for those."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return next((name for test, name in _SPECIAL if test(mode)), "other")


class Walk:
    """Looks at what lies in `top`, which may itself be a link. follow: also where links lead out of it."""

    def __init__(self, top: str, indexes: Indexes, *, follow: bool) -> None:
        self._top = os.path.realpath(top)
        self._indexes = indexes
        self._follow = follow
        self._entered: set[tuple[int, int]] = set()  # folders by device and number, against circles of links

    def below(self, folder: str) -> Iterator[Entry]:
        """Everything below a folder, linked folders last; a folder that cannot be read is an entry."""
        folders, links = [folder], list[str]()
        while folders or links:
            current = folders.pop() if folders else links.pop(0)
            try:
                left_out = self._left_out(current)
                found = [] if left_out else _listed(current)
            except OSError as error:
                left_out, found = unreadable(current, error), []
            if left_out:
                yield left_out
            for path, is_link, is_folder in found:
                if is_folder:
                    folders.append(path)
                    continue
                entry = self.look(path, is_link=is_link)
                if entry is None and self._follow:
                    links.append(path)
                else:
                    yield entry or folder_link(path)

    def _left_out(self, folder: str) -> Entry | None:
        if not self._enter(folder):
            return _link(folder, "a link to a folder that is read already")
        if self._indexes.is_index(folder):
            return Entry(folder, label=INDEX, reason="an index of corpusmill")
        return None

    def look(self, path: str, *, is_link: bool) -> Entry | None:
        """What `path` is, a link resolved; None for a folder."""
        if is_link:
            real = os.path.realpath(path)
            if not self._follow and not _inside(real, self._top):
                return _link(path, "a link that leaves the folder: corpus.follow_links takes it")
            if self._indexes.around(os.path.dirname(real)):
                return Entry(path, label=INDEX, reason="a link into an index of corpusmill")
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return _link(path, "a link to nothing" if is_link else "it is gone")
        except OSError as error:
            return _link(path, "a link to itself") if error.errno == errno.ELOOP else unreadable(path, error)
        if stat.S_ISDIR(status.st_mode):
            return None
        if kind := special(status.st_mode):
            return Entry(path, label=kind, reason=f"{kind}: neither a file nor a folder")
        return Entry(path, status.st_size) if may_read(path) else unreadable(path)

    def _enter(self, folder: str) -> bool:
        if not self._follow:
            return True  # without links there are no circles
        status = os.stat(folder)
        place = (status.st_dev, status.st_ino)
        new = place not in self._entered
        self._entered.add(place)
        return new


def _listed(folder: str) -> list[tuple[str, bool, bool]]:
    """(path, is a link, is a folder) of what lies in a folder, in order."""
    with os.scandir(folder) as entries:
        found = [(e.path, e.is_symlink(), e.is_dir(follow_symlinks=False)) for e in entries]
    return sorted(found)


def _link(path: str, reason: str) -> Entry:
    return Entry(path, label=LINK, reason=reason)


def _inside(path: str, top: str) -> bool:
    return os.path.commonpath([path, top]) == top
