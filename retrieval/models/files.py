"""An index's own copies of its models, so that it can be moved, and which models it may have opened.

Packaged models are found by name on every machine and are not copied.
"""

import shutil
from pathlib import Path
from typing import Any

from retrieval.errors import ModelError
from retrieval.models.places import cached_snapshot, packaged_folder
from retrieval.models.resolved_model import model_card, model_paths, resolve_model_side, suffixes
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings
from retrieval.storage import FileRecord, Store, sha256_of

SIDES = ("passage", "query")
_NAMES = dict(zip(SIDES, ("name", "query_name"), strict=True))


def publish(settings: ModelSettings, store: Store, trust: Trust) -> tuple[FileRecord, ...]:
    """Copy the models of a configuration into the index; their files, none for packaged ones."""
    endings = suffixes(trust_remote_code=settings.trust_remote_code, allow_pickle=settings.allow_pickle)
    records: dict[str, FileRecord] = {}
    for side in SIDES:
        model = resolve_model_side(settings, side, trust)
        if model.folder == packaged_folder(model.name, None):
            continue
        for path in model_paths(model.folder, endings):
            key = f"{_folder(model.fingerprint)}/{path.relative_to(model.folder).as_posix()}"
            if key not in records:
                records[key] = _put(store, key, path)
    return tuple(records.values())


def use_files(
    settings: ModelSettings, card: dict[str, Any], files: tuple[FileRecord, ...], store: Store, cache: Path
) -> ModelSettings:
    """The settings with the index's copies in place of names; `cache` holds them for object stores."""
    update: dict[str, str | None] = {}
    for side, name in _NAMES.items():
        if name == "query_name" and settings.query_name is None:
            continue
        folder = _folder(card[side]["fingerprint"])
        own = [file for file in files if file.key.startswith(folder + "/")]
        for file in own:
            store.local(file, cache)
        if own:
            update[name] = store.path(folder) if store.is_local else str(cache / folder)
    return settings.model_copy(update=update)


def opened_model(
    settings: ModelSettings, card: dict[str, Any], files: tuple[FileRecord, ...], store: Store, cache: Path,
    trust: Trust,
) -> ModelSettings:  # fmt: skip
    """Settings of an index with names that may be opened: of its own copies, or of what this machine has.

    That is a packaged model, or a snapshot in the Hugging Face cache, with the very files that the index
    names. A name in an index is never taken for a folder of this machine, and nothing is downloaded for it.
    Raises ModelError where there is no such model, or it may not be loaded.
    """
    found = use_files(settings, card, files, store, cache)
    update: dict[str, str] = {}
    for name in _NAMES.values():
        asked, placed = getattr(settings, name), getattr(found, name)
        revision = settings.revision if name == "name" or asked == settings.name else None
        if asked is None or placed != asked or packaged_folder(asked, revision) is not None:
            continue
        snapshot = cached_snapshot(asked, revision)
        if snapshot is None:
            raise ModelError(
                f"the index asks for the model {asked!r}, and holds no copy of it",
                hint="For an index, no folder of this machine is loaded and nothing is downloaded. Have the "
                "model in the Hugging Face cache, or build the index anew, which copies it.",
            )
        update[name] = str(snapshot)
    found = found.model_copy(update=update)
    check_same(found, card, trust)
    return found


def check_same(settings: ModelSettings, card: dict[str, Any], trust: Trust) -> None:
    """Raises ModelError where the files of a side are others than those of the card."""
    here = model_card(settings, trust)
    for side in SIDES:
        wanted = card[side]["fingerprint"]
        if here[side]["fingerprint"] != wanted:
            raise ModelError(
                f"the index was built with another model than the {here[side]['name']} that is here",
                hint=f"It needs {card[side]['name']} with the fingerprint {wanted[:16]}.",
            )


def _put(store: Store, key: str, path: Path) -> FileRecord:
    """The file in the index; one that is there already has the same content, which its name carries."""
    size = path.stat().st_size
    if store.find(key.rpartition("/")[0]).get(key) == size:
        return FileRecord(key, size, sha256_of(path))
    with store.writing(key) as write:
        shutil.copyfile(path, write.path)
    return write.done


def _folder(fingerprint: str) -> str:
    return f"models/{fingerprint[:16]}"
