"""Markers: the first one stays, and it counts only while its files are whole."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.runtime.markers import read_markers, write_marker
from retrieval.storage.store import Store

USAGE = {"cpu_seconds": 1.0, "gpu_seconds": 0.0, "wall_seconds": 1, "peak_memory_bytes": 5}
VECTORS = {
    "rows": 3, "dimension": 2, "metric": "cosine", "dtype": "float32", "device": "cpu", "truncated": 0,
    "tokens": 9, "usage": USAGE,
}  # fmt: skip


def passages(store: Store, key: str, data: bytes) -> dict[str, Any]:
    """What the marker of a shard's passages says."""
    return {"files": [asdict(store.put(key, data))], "rows": 3, "usage": USAGE}


def test_the_first_marker_stays_and_a_late_builder_gets_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first = write_marker(
        store, "vectors/x/part", {"file": asdict(store.put("vectors/x/a", b"aaa")), **VECTORS}
    )
    late = write_marker(
        store, "vectors/x/part", {"file": asdict(store.put("vectors/x/b", b"bbb")), **VECTORS}
    )
    assert late["file"]["key"] == "vectors/x/a"
    assert read_markers(store, "vectors/x") == {"part": first}


def test_a_marker_without_its_file_is_no_marker(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write_marker(store, "passages/x/shard", passages(store, "passages/x/d/a", b"aaa"))
    store.put("passages/x/d/a", b"aa")
    assert read_markers(store, "passages/x") == {}
    again = write_marker(store, "passages/x/shard", passages(store, "passages/x/e/a", b"aaaa"))
    assert read_markers(store, "passages/x") == {"shard": again}
