"""Before an index is mapped: where its files are kept, and whether they have the sizes that they should."""

import os
from collections.abc import Sequence
from pathlib import Path

from retrieval.errors import IndexDamaged
from retrieval.storage import FileRecord, Store


def default_cache(url: str) -> Path:
    """Where files of an index on object storage are kept on this machine."""
    root = os.environ.get("CORPUSMILL_CACHE") or Path.home() / ".cache" / "corpusmill"
    name = "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in url)
    return Path(root) / name


def check_sizes(store: Store, files: Sequence[FileRecord]) -> None:
    """Sizes against the manifest, without reading: a truncated file is refused before it is mapped.

    Raises IndexDamaged.
    """
    if not store.is_local:
        return  # `local` checks what it fetches
    for file in files:
        path = Path(store.path(file.key))
        size = path.stat().st_size if path.is_file() else -1
        if size != file.bytes:
            found = "is missing" if size < 0 else f"has {size} bytes instead of {file.bytes}"
            raise IndexDamaged(f"{path} {found}", hint="Run `corpusmill verify` for the whole damage.")
