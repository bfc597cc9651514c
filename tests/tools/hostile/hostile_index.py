"""Indexes that bring code: built as anybody would, then changed, with every checksum right again."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrieval.format.manifest import read_manifest, version_key
from retrieval.models.resolved_model import fingerprint_folder, suffixes
from retrieval.storage.copies import sha256_of
from retrieval.storage.keys import FileRecord
from retrieval.storage.store import Store

# Sections of a manifest that name a model, and the second stage that loads it.
RERANK = {
    "embedding": None, "query": None, "late_interaction": "late-interaction",
    "cross_encoder": "cross-encoder",
}  # fmt: skip
CODE = """
from pathlib import Path
Path({marker!r}).write_text("it ran")
from transformers import BertConfig, BertModel, BertForSequenceClassification
class Config(BertConfig):
    pass
class Model(BertModel):
    config_class = Config
class Head(BertForSequenceClassification):
    config_class = Config
"""
AUTO_MAP = {
    "AutoConfig": "x.Config", "AutoModel": "x.Model", "AutoModelForSequenceClassification": "x.Head",
}  # fmt: skip


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(found | changes))


def bring_code(folder: Path, marker: Path) -> None:
    """Have a model load a class of its own, whose module writes `marker`."""
    (folder / "x.py").write_text(CODE.format(marker=str(marker)))
    edit(folder / "config.json", auto_map=AUTO_MAP)


def rewrite(index: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the latest manifest and its own checksum."""
    store = Store(str(index))
    key = version_key(read_manifest(store).version)
    value = store.read_json(key)
    value.pop("sha256")
    change(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    store.put_json(key, {"sha256": hashlib.sha256(text.encode()).hexdigest(), **value})


def records_of(index: Path, paths: list[Path]) -> list[dict[str, Any]]:
    """Files of an index as a manifest names them."""
    return [
        vars(FileRecord(path.relative_to(index).as_posix(), path.stat().st_size, sha256_of(path)))
        for path in paths
    ]


def replace_file(index: Path, path: Path) -> None:
    """Have the manifest name a file of the index with the content that it has now."""
    found = records_of(index, [path])[0]

    def change(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("key") == found["key"]:
                value.update(found)
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                change(inner)

    rewrite(index, change)


def plant(index: Path, section: str, poison: Callable[[Path], None]) -> Path:
    """Poison a section's model, or a query model beside it; flags set, checksums right. Its folder."""
    manifest = read_manifest(Store(str(index)))
    of = "model" if section in ("embedding", "query") else section
    card = manifest.model_dump()[of]
    card = card if of == "model" else card["model"]
    passing = shutil.copytree(index / "models" / card["passage"]["fingerprint"][:16], index / "planted")
    poison(passing)
    fingerprint = fingerprint_folder(passing, suffixes(trust_remote_code=True, allow_pickle=True))
    folder = passing.rename(index / "models" / fingerprint[:16])
    files = records_of(index, [path for path in sorted(folder.rglob("*")) if path.is_file()])

    def change(value: dict[str, Any]) -> None:
        card = value["model"] if of == "model" else value[of]["model"]
        settings = value["model"]["settings"] if of == "model" else value[of]["settings"]["model"]
        settings |= {"trust_remote_code": True, "allow_pickle": True}
        card["query"]["fingerprint"] = fingerprint
        if section == "query":
            settings["query_name"] = "a query model"
        else:
            card["passage"]["fingerprint"] = fingerprint
        value["model_files"] += files

    rewrite(index, change)
    return folder
