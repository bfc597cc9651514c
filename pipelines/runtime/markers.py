"""Markers: small JSON objects written last, which make what they describe finished.

A marker names its files with sizes and checksums, under `file`, `files`, `ids` and `parts`. It counts
only while all of them are there in full size, so that deleting a damaged file is enough to have it made
again. The first marker of a name stays: a builder that lost its lease cannot replace it.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from pipelines.runtime.marker_shapes import shape_of
from retrieval.storage import FileRecord, Store, parse_json, validated_json

MOST_BYTES = 64 << 20  # of the marker of a slice that gave many parts
READERS = 16  # on object storage the latency of small objects is what costs


def read_markers(store: Store, folder: str) -> dict[str, dict[str, Any]]:
    """Values of the markers that lie in `folder` itself, by name; each has its own record as `marker`."""
    sizes = store.find(folder)
    names = [key[len(folder) + 1 : -5] for key in sizes if key.endswith(".json")]
    names = [name for name in names if "/" not in name]
    with ThreadPoolExecutor(READERS) as pool:
        keys = [f"{folder}/{name}.json" for name in names]
        values = list(pool.map(lambda key: _read(store, key, sizes[key]), keys))
    return {name: value for name, value in zip(names, values, strict=True) if _complete(value, sizes)}


def write_marker(store: Store, key: str, values: dict[str, Any]) -> dict[str, Any]:
    """Write a marker; its values with its own record as `marker`.

    Where a whole one is there already, that one holds, and its values are returned.
    """
    data = json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    if not store.create(f"{key}.json", data):
        there = _read(store, f"{key}.json")
        if _complete(there, store.find(key.rpartition("/")[0])):
            return there
        store.put(f"{key}.json", data)
    record = FileRecord(f"{key}.json", len(data), hashlib.sha256(data).hexdigest())
    return {**values, "marker": asdict(record)}


def attempt_suffix() -> str:
    """Ends the name of a file whose bytes may differ from one attempt to the next.

    Two attempts never write one file, so what a marker names is never written again.
    """
    return uuid.uuid4().hex[:8]


def _complete(values: dict[str, Any], sizes: dict[str, int]) -> bool:
    return all(sizes.get(file["key"]) == file["bytes"] for file in _files(values))


def _files(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from values.get("files", [])
    for name in ("file", "ids"):
        if values.get(name):
            yield values[name]
    for part in values.get("parts", []):
        yield part["file"]


def _read(store: Store, key: str, size: int | None = None) -> dict[str, Any]:
    """Values of a marker. Raises IndexDamaged where they are not those of its kind of work."""
    data, name = store.read(key, MOST_BYTES, size=size), f"{store.url}/{key}"
    values: dict[str, Any] = parse_json(data, name, most_bytes=MOST_BYTES)
    validated_json(shape_of(key), data, name)
    return {**values, "marker": asdict(FileRecord(key, len(data), hashlib.sha256(data).hexdigest()))}
