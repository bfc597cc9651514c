"""The store on a local disk and on a real S3 server: whole writes, exclusive creation, checked copies."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.errors import IndexDamaged, StorageError
from retrieval.storage.store import Store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "index"))
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://{host}:{port}"}
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"  # moto keeps buckets for as long as the process lives
    Store(f"s3://{bucket}", options).fs.mkdir(bucket)
    yield Store(f"s3://{bucket}/some/index", options)
    server.stop()


def test_put_replaces_and_create_refuses(store: Store) -> None:
    store.put("a/b", b"one")
    store.put("a/b", b"two")
    assert store.read("a/b") == b"two"
    assert store.create("a/c", b"first")
    assert not store.create("a/c", b"second")
    assert store.read("a/c") == b"first"
    assert store.find("a") == {"a/b": 3, "a/c": 5}
    assert store.find("nothing") == {}


def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    def half_a_file() -> None:
        with store.writing("x/file") as write:
            write.path.write_bytes(b"half")
            raise RuntimeError("crash")

    def half_a_folder() -> None:
        with store.writing_folder("y") as folder:
            (folder.path / "one").write_bytes(b"half")
            raise RuntimeError("crash")

    for work in (half_a_file, half_a_folder):
        with pytest.raises(RuntimeError, match="crash"):
            work()
        assert store.find("") == {}


def test_a_folder_is_put_file_by_file_and_copied_back(store: Store, tmp_path: Path) -> None:
    with store.writing_folder("dense/x") as folder:
        (folder.path / "one").write_bytes(b"1" * 10)
        (folder.path / "two").write_bytes(b"2" * 20)
    assert {record.key: record.bytes for record in folder.records} == {"dense/x/one": 10, "dense/x/two": 20}
    local = store.local_folder(folder.records, tmp_path / "cache")
    assert (local / "two").read_bytes() == b"2" * 20


def test_check_names_what_is_wrong(store: Store) -> None:
    record = store.put("f", b"hello")
    assert store.check(record) is None
    store.put("f", b"hellO")
    assert "differs" in str(store.check(record))
    store.put("f", b"hell")
    assert "4 bytes instead of 5" in str(store.check(record))
    store.delete(["f"])
    assert store.check(record) == "missing"


def test_a_damaged_object_is_not_copied(tmp_path: Path, store: Store) -> None:
    record = store.put("f", b"hello")
    store.put("f", b"hellO")
    if store.is_local:
        assert store.local(record, tmp_path / "cache") == Path(
            store.path("f")
        )  # mapped in place, verified elsewhere
        return
    with pytest.raises(IndexDamaged, match="differs from its checksum"):
        store.local(record, tmp_path / "cache")
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_an_unknown_protocol_says_what_to_use() -> None:
    with pytest.raises(StorageError, match="xyz"):
        Store("xyz://bucket/index")


def test_json_that_is_none_is_named(store: Store) -> None:
    store.put("j.json", b"{broken")
    with pytest.raises(IndexDamaged, match=r"j\.json is not valid JSON"):
        store.read_json("j.json")
    assert store.read_json("absent.json") is None
