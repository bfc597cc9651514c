"""Removes what no kept version names: old versions, artefacts of other settings, unfinished work."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines import lease as leases
from pipelines.progress import KEY as PROGRESS
from retrieval.errors import CorpusmillError
from retrieval.manifest import LATEST, latest_version, read_manifest, version_key, versions
from retrieval.storage import Store

KEPT_FOLDERS = (leases.FOLDER + "/", "ledger/")
OWN_FOLDERS = (
    "parts/", "vectors/", "quantizer/", "dense/", "passages/", "lexical/", "tokens/", "models/", "versions/",
    "tmp/",
)  # fmt: skip


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

    Raises IndexBusy while a builder is at work, CorpusmillError where there is no version to keep.
    """
    latest = latest_version(store)
    if latest is None:
        raise CorpusmillError(
            f"{store.url} has no committed version, so nothing can be kept",
            hint="Finish the build first; to drop it whole, delete the folder.",
        )
    if dry_run:
        return _find(store, latest, keep)
    with leases.holding(store, say):
        found = _find(store, latest, keep)
        # A version goes before its artefacts: it never names what is gone.
        first = [version_key(number) for number in found.dropped]
        store.delete(first)
        store.delete([key for key in found.files if key not in first])
        if store.is_local:
            _remove_empty_folders(Path(store.root))
    return found


def _find(store: Store, latest: int, keep: int) -> Pruned:
    numbers = versions(store)  # one that is not announced yet is committed all the same
    kept = sorted({*numbers[-keep:], latest})
    named = {file.key for number in kept for file in read_manifest(store, number).files()}
    named |= {version_key(number) for number in kept} | {LATEST, PROGRESS}
    files = {
        key: size
        for key, size in store.find("").items()
        if key not in named and key.startswith(OWN_FOLDERS) and not key.startswith(KEPT_FOLDERS)
    }
    return Pruned(dict(sorted(files.items())), kept, [number for number in numbers if number not in kept])


def _remove_empty_folders(root: Path) -> None:
    for folder in OWN_FOLDERS:
        for path, _, _ in os.walk(root / folder, topdown=False):
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(path)
