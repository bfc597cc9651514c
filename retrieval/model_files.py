"""An index's own copy of a model that was named by a local folder, so that the index can be moved.

Packaged and Hugging Face models are found by name on every machine and are not copied.
"""

import shutil
from pathlib import Path
from typing import Any

from retrieval.models import is_local_folder, model_paths, resolve_side, suffixes
from retrieval.settings import ModelSettings
from retrieval.storage import FileRecord, Store, sha256_of

SIDES = ("passage", "query")


def publish(settings: ModelSettings, store: Store) -> tuple[FileRecord, ...]:
    """Copy local model folders into the index; their files, none for models found by name."""
    endings = suffixes(trust_remote_code=settings.trust_remote_code, allow_pickle=settings.allow_pickle)
    records: dict[str, FileRecord] = {}
    for side in SIDES:
        model = resolve_side(settings, side)
        if not is_local_folder(model.name):
            continue
        for path in model_paths(model.folder, endings):
            key = f"{_folder(model.fingerprint)}/{path.relative_to(model.folder).as_posix()}"
            if key not in records:
                records[key] = _put(store, key, path)
    return tuple(records.values())


def use_files(
    settings: ModelSettings, card: dict[str, Any], files: tuple[FileRecord, ...], store: Store, cache: Path
) -> ModelSettings:
    """The settings with the index's copy in place of local folders; `cache` holds it for object stores."""
    update: dict[str, str] = {}
    for side, name in zip(SIDES, ("name", "query_name"), strict=True):
        if name == "query_name" and settings.query_name is None:
            continue
        folder = _folder(card[side]["fingerprint"])
        own = [file for file in files if file.key.startswith(folder + "/")]
        for file in own:
            store.local(file, cache)
        if own:
            update[name] = store.path(folder) if store.is_local else str(cache / folder)
    return settings.model_copy(update=update)


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
