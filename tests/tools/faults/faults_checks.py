"""What the fault tests look at: which files are finished and untouched, and what an index holds."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.upkeep.verification import verify
from retrieval.format.manifest import Manifest, read_manifest
from retrieval.search.searcher import Searcher
from retrieval.storage.store import Store

COLUMNS = ["doc_id", "passage", "title", "text", "start", "end", "position"]
MARKED = ("parts/", "vectors/", "passages/", "quantizer/", "dense/", "lexical/", "tokens/")  # with markers


def files_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, modification time and size of every file below a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            stat = path.stat()
            found[str(path.relative_to(folder))] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def finished(index: Path) -> dict[str, tuple[int, int, int]]:
    """The same of what is finished: markers and the files that they list, versions and the ledger."""
    files = files_of(index)
    kept = {}
    for key in files:
        if key.startswith(("versions/", "ledger/", "models/")):
            kept[key] = files[key]
        elif key.endswith(".json") and key.startswith(MARKED):
            names = {key, *_listed(json.loads((index / key).read_bytes()))}
            kept |= {name: files[name] for name in names if name in files}
    return kept


def _listed(value: Any) -> Iterator[str]:
    """Keys of all file records in a marker."""
    if isinstance(value, dict):
        if "sha256" in value:
            yield value["key"]
        for inner in value.values():
            yield from _listed(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _listed(inner)


def markers(index: Path, stage: str) -> list[str]:
    """Keys of the markers of a stage, which name its finished parts."""
    folder = {"read": "parts", "embed": "vectors"}[stage]
    return [key for key in files_of(index) if key.startswith(f"{folder}/") and key.endswith(".json")]


def pieces(index: Path) -> list[dict[str, Any]]:
    """What the finished pieces used, by their markers; they are there until shards are made of them."""
    found = (json.loads(path.read_bytes()) for path in index.glob("dense/*/pieces-*/*.json"))
    return [marker["usage"] for marker in found]


def assert_untouched(before: dict[str, Any], index: Path) -> None:
    """Every file of `before` is there and is the same file, but for pieces, which shards were made of."""
    now = files_of(index)
    changed = [key for key in before if now.get(key) != before[key] and "/pieces-" not in key]
    assert not changed, f"changed or gone: {changed}"


def contents(store: Store, manifest: Manifest | None = None) -> dict[str, Any]:
    """What an index holds, in the order of passage ids: counts, a hash of all rows, a hash of the vectors."""
    manifest = manifest or read_manifest(store)
    digest = hashlib.sha256()
    keys: list[str] = []
    for part in manifest.parts:
        with store.fs.open(store.path(part.passages.key), "rb") as file:
            table = pq.read_table(file, columns=COLUMNS)
        rows = table.to_pylist()
        assert len(rows) == part.rows
        keys += [f"{row['doc_id']}#{row['passage']}" for row in rows]
        digest.update(json.dumps(rows).encode())
    assert len(keys) == manifest.passages
    assert len(set(keys)) == len(keys), "a passage occurs twice"
    return {
        "documents": manifest.documents,
        "rejected": manifest.rejected,
        "keys": keys,
        "rows": digest.hexdigest(),
        "vectors": [part.vectors.sha256 for part in manifest.parts],
        "bases": [(shard.base, shard.rows) for shard in manifest.shards],
    }


def assert_sound(store: Store, cache: Path | None = None) -> Manifest:
    """The latest version verifies, and the vector of a passage finds that passage at its id."""
    manifest = read_manifest(store)
    assert verify(store, manifest, lambda _done, _total: None) == []
    with Searcher(store, manifest, cache or Path(store.root)) as searcher:
        wanted = np.linspace(0, manifest.passages - 1, 40).astype(np.int64)
        vectors = np.concatenate([shard.vectors.take(own) for shard, own in _by_shard(searcher, wanted)])
        scores, ids = searcher.search_vectors(vectors.astype(np.float32), 3)
    assert np.isfinite(scores).all()
    found = float(np.mean((ids == wanted[:, None]).any(axis=1)))
    assert found >= 0.95, f"only {found:.0%} of the passages find themselves"
    return manifest


def _by_shard(searcher: Searcher, wanted: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
    for shard in searcher._group.shards:
        yield shard, wanted[(wanted >= shard.base) & (wanted < shard.base + shard.rows)] - shard.base
