"""An index has a folder of its own: what is written there, and what may be removed there.

A build takes an empty folder by creating its marker, once, and refuses one that holds other things.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from itertools import islice
from pathlib import Path

from retrieval.errors import ConfigError, StorageError
from retrieval.format import FORMAT
from retrieval.storage import MARKER as MARKER
from retrieval.storage import TEMPORARY, Store, is_marker, is_written_by_us, new_marker, storage_errors

NAMED = 3  # things in the way that an error names


def check_folder(store: Store) -> bool:
    """Whether the folder is an index already; False: it is empty. Writes nothing.

    Raises ConfigError where it holds other things.
    """
    there = store.read_or_none(MARKER)
    if there is not None and is_marker(there):
        return True
    others = list(islice(_contents(store), NAMED + 1))
    if others:
        names = ", ".join(ascii(name)[1:-1] for name in others[:NAMED]) + (", ..." if others[NAMED:] else "")
        raise ConfigError(
            f"{store.url} is not empty and is no index of corpusmill: it holds {names}",
            hint="Name an empty folder, or one that is not there yet, as index.path (--index).",
        )
    return False


def claim_index(store: Store) -> None:
    """Take an empty folder for an index, which one builder can; nothing happens where it is one.

    Raises ConfigError as `check_folder`, StorageError for storage that does not refuse to create what exists.
    """
    if not check_folder(store):
        store.create(MARKER, new_marker(FORMAT, f"corpusmill {own_version()}"))
    if store.create(MARKER, store.read(MARKER)):
        raise StorageError(
            f"the storage of {store.url} replaces an object that was to be created only if there is none",
            hint="Two builders would overwrite each other there. Use a local disk, S3 or GCS.",
        )


def sweep_temporary(store: Store) -> None:
    """Remove unfinished local writes of a builder that is gone; anything else in that folder stays."""
    if not store.is_local:
        return
    folder = Path(store.path(TEMPORARY))
    for entry in list(os.scandir(folder)) if folder.is_dir() else []:
        if not is_written_by_us(f"{TEMPORARY}/{entry.name}"):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
    with contextlib.suppress(OSError):  # not there, or not empty
        folder.rmdir()


def own_version() -> str:
    """The version of corpusmill that runs."""
    try:
        return package_version("corpusmill")
    except PackageNotFoundError:
        return "source"


def _contents(store: Store) -> Iterator[str]:
    """What lies in the folder, below it too; folders without anything in them do not count."""
    with storage_errors(store.url):
        if store.is_local:
            for folder, folders, files in os.walk(store.root):
                links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
                for name in sorted(files + links):
                    yield os.path.relpath(os.path.join(folder, name), store.root)
            if os.path.lexists(store.root) and not os.path.isdir(store.root):
                raise NotADirectoryError(store.root)
            return
        with contextlib.suppress(FileNotFoundError):
            for path in store.fs.ls(store.root, detail=False):
                name = path[len(store.root) :].strip("/")
                if name:  # some stores keep an empty object for the folder itself
                    yield name
