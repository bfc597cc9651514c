"""What a local disk does in one step: give a file its name once, and replace a file that has not changed.

A reader sees a file whole or not at all, and a crash at any point leaves the old state or the new one.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from retrieval.errors import IndexBusy, StorageError

LOCK_S = 30  # that another process may need between a look at a file and its replacement
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # of Linux


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(source: Path, target: Path) -> None:
    """Give a whole file its name, in place of what has it."""
    flush(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
    flush(target.parent)


def name_once(source: Path, target: Path) -> bool:
    """Give a whole file its name unless that is taken; whether it got it. Atomic between processes.

    Raises StorageError where the file system can do neither by a hard link nor by an exclusive rename.
    """
    flush(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV):
            raise
        if not _rename_exclusively(source, target):
            return False
    flush(target.parent)
    return True


def _rename_exclusively(source: Path, target: Path) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    rename = getattr(library, "renameat2", None)  # glibc 2.28, Linux 3.15
    number = errno.ENOSYS
    if rename is not None:
        paths = os.fsencode(source), os.fsencode(target)
        if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
            return True
        number = ctypes.get_errno()
    if number == errno.EEXIST:
        return False
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise StorageError(
            f"the file system of {target.parent} has neither hard links nor exclusive renames",
            hint="Two builders could take each other's place there: put the index on another file system.",
        )
    raise OSError(number, os.strerror(number), str(target))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes that lock this existing file; the system frees it when one of them dies.

    Raises IndexBusy after LOCK_S seconds, StorageError where the file system has no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)  # NFS locks what is open for writing alone
    try:
        _lock(handle, path)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise IndexBusy(
                    f"another process has held {path} for {LOCK_S} s",
                    hint="It is stalled while it announces a version: end it, then run the same command.",
                ) from None
            time.sleep(0.05)
        except OSError as error:
            raise StorageError(
                f"the file system of {path.parent} has no locks: {error.strerror}",
                hint="Put the index on another file system.",
            ) from error
