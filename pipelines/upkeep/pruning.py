"""Removes what no kept version names: old versions, artefacts of other settings, unfinished work."""

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.runtime import LEASE_FOLDER, check_folder, holding_lease
from pipelines.runtime import PROGRESS_KEY as PROGRESS
from retrieval.errors import CorpusmillError
from retrieval.format import LATEST, committed_versions, latest_version, read_manifest, version_key
from retrieval.storage import MARKER as MARKER
from retrieval.storage import Store, is_written_by_us

KEPT_FOLDERS = (LEASE_FOLDER + "/", "ledger/")


@dataclass(frozen=True)
class Pruned:
    """What was, or would be, removed: keys with sizes in bytes, and the versions kept and dropped."""

    files: dict[str, int]
    kept: list[int]
    dropped: list[int]


def prune(
    store: Store, keep: int, *, dry_run: bool, say: Callable[[str], None] = lambda _text: None
) -> Pruned:
    """Keep the latest version and the `keep - 1` before it. Holds the lease, so that no build runs.

    Only what has a name that builders write is removed. Raises IndexBusy while a builder is at work,
    ConfigError for a folder that is no index, CorpusmillError where there is no version to keep.
    """
    check_folder(store)
    latest = latest_version(store)
    if latest is None:
        raise CorpusmillError(
            f"{store.url} has no committed version, so nothing can be kept",
            hint="Finish the build first; to drop it whole, delete the folder.",
        )
    if dry_run:
        return _find(store, latest, keep)
    with holding_lease(store, say):
        found = _find(store, latest, keep)
        # A version goes before its artefacts: it never names what is gone.
        first = [version_key(number) for number in found.dropped]
        store.delete(first)
        store.delete([key for key in found.files if key not in first])
        if store.is_local:
            _remove_empty_folders(Path(store.root), found.files)
    return found


def _find(store: Store, latest: int, keep: int) -> Pruned:
    numbers = committed_versions(store)  # one that is not announced yet is committed all the same
    kept = sorted({*numbers[-keep:], latest})
    named = {file.key for number in kept for file in read_manifest(store, number).files()}
    named |= {version_key(number) for number in kept} | {LATEST, PROGRESS, MARKER}
    files = {
        key: size
        for key, size in store.find("").items()
        if key not in named and is_written_by_us(key) and not key.startswith(KEPT_FOLDERS)
    }
    return Pruned(dict(sorted(files.items())), kept, [number for number in numbers if number not in kept])


def _remove_empty_folders(root: Path, keys: Iterable[str]) -> None:
    """Those that the removed files leave behind."""
    for folder in sorted({parent for key in keys for parent in Path(key).parents}, reverse=True):
        if folder != Path("."):
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(root / folder)
