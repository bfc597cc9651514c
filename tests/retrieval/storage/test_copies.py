"""Copies of an index on object storage: what was changed behind our back is fetched again, never served."""

import os
from pathlib import Path

import fsspec
import pytest

from retrieval.errors import IndexDamaged, StorageError
from retrieval.storage.copies import damaged_copy, default_cache, sweep_cache
from retrieval.storage.keys import FileRecord
from retrieval.storage.store import Store

KEY = "passages/0123456789abcdef/0123456789abcdef.arrow"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    fsspec.filesystem("memory").store.clear()
    store = Store("memory://bucket/index")
    store.put(KEY, b"The truth, whole and nothing else.")
    return store


def record_of(store: Store, key: str = KEY) -> FileRecord:
    return store.put(key, store.read(key))


def test_a_copy_that_was_changed_is_fetched_again(store: Store, tmp_path: Path) -> None:
    record = record_of(store)
    path = store.local(record, tmp_path)
    whole, before = path.read_bytes(), path.stat()
    path.write_bytes(b"A lie".ljust(len(whole)))  # of equal size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.local(record, tmp_path).read_bytes() == whole
    with path.open("r+b") as file:
        file.truncate(3)
    assert store.local(record, tmp_path).read_bytes() == whole
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(whole)
    assert not store.local(record, tmp_path).is_symlink()


def test_an_intact_copy_is_not_fetched_or_read_again(store: Store, tmp_path: Path) -> None:
    record = record_of(store)
    path = store.local(record, tmp_path)
    store.delete([KEY])
    read = path.stat().st_atime_ns
    assert store.local(record, tmp_path) == path
    assert path.stat().st_atime_ns == read
    os.utime(path)  # touched: it is read, and found to be whole
    assert store.local(record, tmp_path) == path


def test_another_content_of_the_same_key_and_size_is_fetched(store: Store, tmp_path: Path) -> None:
    first = record_of(store)
    assert store.local(first, tmp_path).read_bytes().startswith(b"The truth")
    second = store.put(KEY, b"Another one of the very same size.")
    assert second.bytes == first.bytes
    assert store.local(second, tmp_path).read_bytes() == store.read(KEY)


def test_a_damaged_copy_is_found_by_reading_and_removed(store: Store, tmp_path: Path) -> None:
    record = record_of(store)
    assert damaged_copy(record, tmp_path) is None  # there is none
    path = store.local(record, tmp_path)
    assert damaged_copy(record, tmp_path) is None
    path.write_bytes(b"A lie".ljust(record.bytes))
    assert "differed" in str(damaged_copy(record, tmp_path))
    assert not path.exists()


@pytest.mark.parametrize("told", [b"", b"garbage", b"\xff\xfe", b"0 0 0 0 0"])
def test_a_damaged_note_costs_reading_only(store: Store, tmp_path: Path, told: bytes) -> None:
    record = record_of(store)
    path = store.local(record, tmp_path)
    note = tmp_path / ".checked" / KEY
    note.write_bytes(told)
    assert store.local(record, tmp_path) == path
    note.write_bytes(told)
    path.write_bytes(b"A lie".ljust(record.bytes))
    assert store.local(record, tmp_path).read_bytes() == store.read(KEY)


def test_an_object_that_grew_is_not_copied_to_its_end(store: Store, tmp_path: Path) -> None:
    record = record_of(store)
    store.put(KEY, b"x" * 50_000_000)
    with pytest.raises(IndexDamaged, match="larger than|differs"):
        store.local(record, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0


def test_files_that_need_one_place_are_refused(store: Store, tmp_path: Path) -> None:
    inner = FileRecord(f"{KEY}/inner", 5, "0" * 64)
    store.local(record_of(store), tmp_path)
    with pytest.raises(IndexDamaged, match="one place"):
        store.local(inner, tmp_path)


def test_every_index_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    urls = [
        "memory://a/b",
        "memory://a_b",
        "memory://a/b_",
        "memory://A/b",
        "memory://a-b",
        "memory://" + "x/" * 500,
    ]
    folders = [default_cache(Store(url)) for url in urls]
    assert len(set(folders)) == len(urls)
    for folder in folders:
        folder.mkdir()  # no name is too long
    here = default_cache(Store("memory://a/b"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert default_cache(Store("memory://a/b")) != here  # another server


def test_a_sweep_leaves_what_is_not_ours(store: Store, tmp_path: Path) -> None:
    kept = record_of(store)
    old = store.put(KEY.replace(".arrow", ".json"), b"{}")
    for record in (kept, old):
        store.local(record, tmp_path)
    mine = tmp_path / "thesis.docx"
    mine.write_text("years of work")
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1))
    assert sweep_cache(tmp_path, [kept], 0) > 0
    assert mine.exists()
    assert (tmp_path / kept.key).exists()
    assert not (tmp_path / old.key).exists()


def test_a_cache_that_cannot_be_one_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    record = store.put("a/b", b"one")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(StorageError, match="cannot be used for copies"):
            store.local(record, folder)
    assert (tmp_path / "file").read_text() == "mine"
