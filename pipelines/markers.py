"""Markers: small JSON objects written last, which make what they describe finished."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from retrieval.errors import IndexDamaged
from retrieval.storage import FileRecord, Store

READERS = 16  # on object storage the latency of small objects is what costs


def read_markers(store: Store, folder: str, ending: str = "") -> dict[str, dict[str, Any]]:
    """Values of the markers in `folder` by name; each has its own record under `marker`.

    Markers lie in the folder itself; with an `ending` such as `/marker`, in its folders by that name.
    """
    names = [key[len(folder) + 1 : -5] for key in store.find(folder) if key.endswith(f"{ending}.json")]
    names = [name for name in names if "/" not in name.removesuffix(ending)]
    with ThreadPoolExecutor(READERS) as pool:
        values = list(pool.map(lambda name: _read(store, f"{folder}/{name}.json"), names))
    return {name.removesuffix(ending): value for name, value in zip(names, values, strict=True)}


def read_marker(store: Store, key: str) -> dict[str, Any] | None:
    """Values of one marker, None if it is not there."""
    try:
        return _read(store, f"{key}.json")
    except FileNotFoundError:
        return None


def write_marker(store: Store, key: str, values: dict[str, Any]) -> dict[str, Any]:
    """Write a marker; its values with its own record under `marker`."""
    record = store.put_json(f"{key}.json", values)
    return {**values, "marker": asdict(record)}


def _read(store: Store, key: str) -> dict[str, Any]:
    data = store.read(key)
    try:
        values = json.loads(data)
    except ValueError as error:
        raise IndexDamaged(
            f"{store.url}/{key} is not valid JSON", hint="Delete it and build again."
        ) from error
    return {**values, "marker": asdict(FileRecord(key, len(data), hashlib.sha256(data).hexdigest()))}
