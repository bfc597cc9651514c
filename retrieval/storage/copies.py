"""Checked copies of files of an index on object storage, in a folder of this machine.

A copy is read against its checksum when it is made, and again whenever the file system says that it was
touched since: its size, inode and times are noted beside it. So opening costs no reading of what is intact,
and what was changed behind our back is fetched again, never served.
"""

import contextlib
import hashlib
import json
import os
import stat
import time
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from fsspec.callbacks import Callback

from retrieval.errors import IndexDamaged, StorageError
from retrieval.storage.errors import storage_errors
from retrieval.storage.keys import FileRecord, is_written_by_us

REPAIR = "Run `corpusmill verify` for the whole damage; delete what it names and build again."
NOTES = ".checked"  # folder of the notes, inside the folder of the copies
PARTIAL = ".partial"
NAME_CHARACTERS = 40


class Source(Protocol):
    """Where copies come from: a Store."""

    url: str
    fs: Any

    @property
    def endpoint(self) -> str:
        """The server, where it is not the usual one."""

    def path(self, key: str) -> str:
        """Path of a key in `fs`."""


def default_cache(store: Source) -> Path:
    """Where copies of an index are kept: CORPUSMILL_CACHE, else a folder of the user's own cache.

    The name carries a hash of the whole place, so that no two indexes share a folder.
    """
    root = os.environ.get("CORPUSMILL_CACHE") or Path.home() / ".cache" / "corpusmill"
    place = json.dumps([store.url, store.endpoint])
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    last = store.url.rpartition("/")[2]
    name = "".join(letter for letter in last if letter.isascii() and (letter.isalnum() or letter in "-_"))
    return Path(root) / f"{name[:NAME_CHARACTERS] or 'index'}-{digest}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a local file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """The same, kept by size and time, for files that the caller trusts to tell of their changes so."""
    found = path.stat()
    return _digest_of(str(path.resolve()), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(path: str, _size: int, _mtime_ns: int) -> str:
    return sha256_of(Path(path))


def copied(store: Source, record: FileRecord, folder: Path) -> Path:
    """A copy of a file in `folder` that has the record's content, made or fetched again where it has not.

    Raises IndexDamaged where the file is missing or differs from its record.
    """
    path = folder / record.key
    if not _is_intact(path, record, folder):
        _fetch(store, path, record, folder)
    return path


def damaged_copy(record: FileRecord, folder: Path) -> str | None:
    """What is wrong with the copy of a file, re-read in full; None if nothing is, or there is none.

    A damaged copy is removed, so that it is fetched again.
    """
    path = folder / record.key
    if not path.is_file() or (path.stat().st_size == record.bytes and sha256_of(path) == record.sha256):
        return None
    path.unlink(missing_ok=True)
    return f"its copy {path} differed from its checksum; it is removed, and fetched again when it is needed"


def sweep_cache(folder: Path, kept: Iterable[FileRecord], least_age_s: float) -> int:
    """Remove copies of files that are not `kept`; the bytes that they had.

    least_age_s: what was written later stays, for another process may be about to open it. What a process has
    mapped stays readable in it. What does not have the name of a file of an index stays too.
    """
    named = {file.key for file in kept}
    latest, freed = time.time() - least_age_s, 0
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            key = path.relative_to(folder).as_posix().removeprefix(f"{NOTES}/")
            if key in named or not (is_written_by_us(key) or key.endswith(PARTIAL)):
                continue
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too
                found = path.stat()
                if found.st_mtime < latest:
                    path.unlink()
                    freed += found.st_size
    return freed


def _is_intact(path: Path, record: FileRecord, folder: Path) -> bool:
    """Whether there is a copy with the record's content; it is read only where its note does not hold."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size != record.bytes:
        return False
    note = folder / NOTES / record.key
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if note.read_text(encoding="ascii") == _note(found, record):
            return True
    if sha256_of(path) != record.sha256:
        return False
    _write_note(note, found, record)
    return True


def _fetch(store: Source, path: Path, record: FileRecord, folder: Path) -> None:
    url = f"{store.url}/{record.key}"
    partial = folder / NOTES / f"{uuid.uuid4().hex}{PARTIAL}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be used for copies of the index: {error}",
            hint="Name a folder that can be written to as CORPUSMILL_CACHE.",
        ) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage_errors(store.url):
            store.fs.get_file(store.path(record.key), str(partial), callback=_Bounded(record))
        if partial.stat().st_size != record.bytes or sha256_of(partial) != record.sha256:
            raise IndexDamaged(f"{url} differs from its checksum", hint=REPAIR)
        os.replace(partial, path)
        _write_note(folder / NOTES / record.key, path.lstat(), record)
    except FileNotFoundError as error:
        raise IndexDamaged(f"{url} is missing", hint=REPAIR) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise IndexDamaged(f"{url} and another file of the index need one place: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _write_note(note: Path, found: os.stat_result, record: FileRecord) -> None:
    passing = note.with_name(f"{uuid.uuid4().hex}{PARTIAL}")
    # Without a note the copy is read again the next time: no reason to fail.
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        passing.write_text(_note(found, record), encoding="ascii")
        os.replace(passing, note)


def _note(found: os.stat_result, record: FileRecord) -> str:
    """What changes with any write to the file: the time of change cannot be set by a program."""
    values = (found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, record.sha256)
    return " ".join(map(str, values))


class _Bounded(Callback):
    """Ends a copy that grows beyond what the manifest says of it."""

    def __init__(self, record: FileRecord) -> None:
        super().__init__()
        self._record = record

    def set_size(self, size: Any) -> None:
        """Told by most file systems before they begin."""
        super().set_size(size)
        if isinstance(size, int) and size > self._record.bytes:
            self._refuse()

    def relative_update(self, inc: int = 1) -> None:
        """Told for each block."""
        super().relative_update(inc)
        if self.value > self._record.bytes:
            self._refuse()

    def _refuse(self) -> None:
        raise IndexDamaged(
            f"{self._record.key} is larger than the {self._record.bytes:,} bytes that the index names",
            hint=REPAIR,
        )
