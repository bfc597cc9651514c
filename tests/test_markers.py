"""Markers: the first one stays, and it counts only while its files are whole."""

from dataclasses import asdict
from pathlib import Path

from pipelines.markers import read_markers, write_marker
from retrieval.storage import Store


def test_the_first_marker_stays_and_a_late_builder_gets_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first = write_marker(
        store, "vectors/x/part", {"file": asdict(store.put("vectors/x/a", b"aaa")), "rows": 3}
    )
    late = write_marker(
        store, "vectors/x/part", {"file": asdict(store.put("vectors/x/b", b"bbb")), "rows": 3}
    )
    assert late["file"]["key"] == "vectors/x/a"
    assert read_markers(store, "vectors/x") == {"part": first}


def test_a_marker_without_its_file_is_no_marker(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write_marker(store, "vectors/x/part", {"files": [asdict(store.put("vectors/x/d/a", b"aaa"))]})
    store.put("vectors/x/d/a", b"aa")
    assert read_markers(store, "vectors/x") == {}
    again = write_marker(store, "vectors/x/part", {"files": [asdict(store.put("vectors/x/e/a", b"aaaa"))]})
    assert read_markers(store, "vectors/x") == {"part": again}
