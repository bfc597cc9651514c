"""Creating and replacing: in one step on every storage that a build accepts, or refused."""

import errno
import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pipelines.runtime import lease as leases
from pipelines.runtime.index_claim import claim_index
from pipelines.stages.committing import announce
from retrieval.errors import ConfigError, IndexBusy, StorageError
from retrieval.format.manifest import LATEST, version_key
from retrieval.storage import atomic
from retrieval.storage.store import Store
from tests.retrieval.storage.test_store import store as any_store  # noqa: F401


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # as FAT and many network disks say

    monkeypatch.setattr(os, "link", refuse)


def test_without_hard_links_creation_is_still_exclusive_and_whole(no_links: None, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.create("versions/000001.json", b"first")
    assert not store.create("versions/000001.json", b"second")
    assert store.read("versions/000001.json") == b"first"
    assert os.listdir(tmp_path / "tmp") == []


def test_a_reader_never_sees_a_part_of_what_is_created(no_links: None, tmp_path: Path) -> None:
    store, seen, done = Store(str(tmp_path)), set(), threading.Event()
    sizes = {f"versions/{number:06d}.json": 3_000_000 for number in range(20)}

    def look() -> None:
        while not done.is_set():
            seen.update(store.find("versions").values())

    reader = threading.Thread(target=look)
    reader.start()
    for key, size in sizes.items():
        store.create(key, b"x" * size)
    done.set()
    reader.join()
    assert seen <= {3_000_000}


def _create(folder: str, number: int, start: Any, won: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if number % 2:
        os.link = refuse  # some of the builders find no hard links
    start.wait()
    if Store(folder).create("lease/00000001.json", str(number).encode() * 1000):
        won.put(number)


def test_one_of_many_processes_creates(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, won = context.Barrier(4), context.Queue()
    builders = [context.Process(target=_create, args=(str(tmp_path), n, start, won)) for n in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(60)
    winner = won.get(timeout=10)
    assert won.empty()
    assert Store(str(tmp_path)).read("lease/00000001.json") == str(winner).encode() * 1000


def test_a_file_system_that_can_do_neither_is_refused(
    no_links: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_RENAME_NOREPLACE", 1 << 20)  # a flag that the kernel does not know: EINVAL
    with pytest.raises(StorageError, match="neither hard links nor exclusive renames"):
        Store(str(tmp_path)).create("a", b"x")
    assert not (tmp_path / "a").exists()


def test_storage_without_conditional_writes_is_refused() -> None:
    with pytest.raises(StorageError, match="no index can be built there"):
        Store("memory://bucket/index").create("LATEST", b"1")


@pytest.fixture
def index(any_store: Store) -> Store:  # noqa: F811
    claim_index(any_store)
    return any_store


def test_what_has_changed_is_not_replaced(index: Store) -> None:
    assert index.replace(LATEST, None, b"1\n")
    assert not index.replace(LATEST, None, b"2\n")
    assert not index.replace(LATEST, b"7\n", b"2\n")
    assert index.replace(LATEST, b"1\n", b"2\n")
    assert index.read(LATEST) == b"2\n"


@pytest.mark.parametrize("any_store", ["s3"], indirect=True)
def test_replacing_is_one_step_on_s3(index: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index.put(LATEST, b"1\n")
    read = index.fs.cat_file

    def stalled(*args: Any, **options: Any) -> Any:
        found = read(*args, **options)
        monkeypatch.undo()
        index.put(LATEST, b"3\n")  # another one writes between the look and the write
        return found

    monkeypatch.setattr(index.fs, "cat_file", stalled)
    assert not index.replace(LATEST, b"1\n", b"2\n")
    assert index.read(LATEST) == b"3\n"


def commit(store: Store, version: int) -> None:
    assert store.create(version_key(version), b"{}")


def test_a_stalled_builder_does_not_set_latest_backwards(index: Store) -> None:
    with leases.holding_lease(index) as stalled:
        commit(index, 1)  # and here it stalls
        taken_over(index, stalled.number + 1)
        commit(index, 2)
        index.put(LATEST, b"2\n")
        announce(index, 1, stalled)
        assert index.read(LATEST) == b"2\n"
        index.put(
            LATEST, b"0\n"
        )  # somebody goes back by hand: it is still not the stalled builder's to change
        with pytest.raises(IndexBusy, match="took over"):
            announce(index, 1, stalled)
        assert index.read(LATEST) == b"0\n"


def test_a_builder_that_stalls_at_the_last_moment_changes_nothing(
    index: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leases.holding_lease(index) as stalled:
        commit(index, 1)
        check = stalled.check

        def stall() -> None:
            check()  # it still holds the lease, and then it stalls
            monkeypatch.setattr(stalled, "check", check)
            taken_over(index, stalled.number + 1)
            commit(index, 2)
            index.put(LATEST, b"2\n")

        monkeypatch.setattr(stalled, "check", stall)
        announce(index, 1, stalled)
        assert index.read(LATEST) == b"2\n"


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"9999", "\u00b2".encode(), b"-1", b"1" * 5000])
def test_garbage_in_latest_is_replaced(index: Store, garbage: bytes) -> None:
    index.put(LATEST, garbage)
    with leases.holding_lease(index) as lease:
        commit(index, 3)
        announce(index, 3, lease)
    assert index.read(LATEST) == b"3\n"


def test_a_lock_that_is_held_for_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "index"))
    claim_index(store)
    store.put(LATEST, b"1\n")
    monkeypatch.setattr(atomic, "LOCK_S", 0.2)
    with atomic.locked(tmp_path / "index" / "corpusmill.json"), pytest.raises(IndexBusy, match="has held"):
        store.replace(LATEST, b"1\n", b"2\n")
    assert store.replace(LATEST, b"1\n", b"2\n")


def test_a_claim_is_made_once(index: Store) -> None:
    before = index.read("corpusmill.json")
    assert json.loads(before)["what"] == "corpusmill index"
    claim_index(index)
    assert index.read("corpusmill.json") == before


def test_storage_that_ignores_the_condition_is_refused(index: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def ignoring(key: str, data: bytes) -> bool:
        index.put(key, data)
        return True

    monkeypatch.setattr(index, "create", ignoring)
    with pytest.raises(StorageError, match="replaces an object"):
        claim_index(index)


def test_a_folder_of_other_things_is_no_index(any_store: Store) -> None:  # noqa: F811
    any_store.put("thesis/chapter-1.txt", b"years of work")
    with pytest.raises(ConfigError, match="is not empty and is no index of corpusmill: it holds thesis"):
        claim_index(any_store)
    any_store.put("corpusmill.json", b'{"what": "my own notes"}')
    with pytest.raises(ConfigError, match="is no index"):
        claim_index(any_store)


def taken_over(store: Store, number: int) -> None:
    holder = json.dumps({"pid": os.getpid(), "host": "other"}).encode()
    assert store.create(f"lease/{number:08d}.json", holder)
