"""Parts of the service by themselves: the cache of query vectors, the layout of groups, what is refused."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.serve.exceptions import BackPressureError

from retrieval.deadline import Deadline
from retrieval.errors import GenerationError, IndexDamaged
from retrieval.format.manifest import Manifest, read_manifest
from retrieval.search.embedding_cache import VectorCache
from retrieval.search.searcher import Searcher
from retrieval.serve.distributed.remote import reply_of
from retrieval.serve.distributed.vllm import _pieces
from retrieval.serve.errors import Overloaded
from retrieval.serve.runtime.served_index import OPENING_S, SearcherVersions, ServedIndex, ShardAssignment
from retrieval.serve.runtime.startup_checks import check_files, check_shards, served_files
from retrieval.serve.settings import ServeSettings
from retrieval.storage.copies import sweep_cache
from retrieval.storage.store import Store
from tests.tools.serving.serve_load import until


def length_of(queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
    """A vector that tells its query; long ones are cut."""
    vectors = np.array([[len(query), 1] for query in queries], np.float32)
    return vectors, {place for place, query in enumerate(queries) if len(query) > 3}


def test_a_known_query_is_not_embedded_again() -> None:
    asked: list[list[str]] = []
    told: list[tuple[int, int]] = []
    cache = VectorCache(3, lambda found, missed: told.append((found, missed)))

    def encode(queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
        asked.append(list(queries))
        return length_of(queries)

    for queries in (["a", "long one"], ["long one", "bb", "a"], ["bb"]):
        vectors, cut = cache.encode("model", queries, encode)
        expected = length_of(queries)
        assert np.array_equal(vectors, expected[0]) and cut == expected[1]
    assert asked == [["a", "long one"], ["bb"]]
    assert told == [(0, 2), (2, 1), (1, 0)]
    cache.encode("other model", ["a"], encode)
    assert asked[-1] == ["a"]
    cache.encode("model", ["c", "c"], encode)  # the oldest make room
    cache.encode("model", ["long one"], encode)
    assert asked[-1] == ["long one"]


def test_a_cache_without_room_asks_always_and_threads_may_share_one() -> None:
    asked: list[str] = []

    def encode(queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
        asked.extend(queries)
        return length_of(queries)

    for _ in range(2):
        VectorCache(0).encode("model", ["a"], encode)
    assert asked == ["a", "a"]
    cache, wrong = VectorCache(5), []

    def work(seed: int) -> None:
        for number in range(300):
            queries = ["x" * (1 + (seed * number + step) % 9) for step in range(3)]
            vectors, cut = cache.encode("model", queries, length_of)
            if [len(query) for query in queries] != vectors[:, 0].tolist() or cut != length_of(queries)[1]:
                wrong.append(queries)

    threads = [Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("groups", [1, 2, 3, 7])
def test_every_passage_belongs_to_one_group(served_index: Path, groups: int) -> None:
    manifest = read_manifest(Store(str(served_index)))
    layout = ShardAssignment(manifest, groups)
    assert [shard for held in layout.held for shard in held] == manifest.shards
    ids = np.arange(manifest.passages)
    for number, held in enumerate(layout.held):
        for shard in held:
            assert layout.owners(ids[shard.base : shard.base + shard.rows]) == [number]
    assert layout.owners(np.array([-1, -1])) == []
    assert layout.owners(ids) == [number for number, held in enumerate(layout.held) if held]


def test_files_of_older_versions_leave_the_cache(
    served_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://{host}:{port}"}
    try:
        url = "s3://served-and-swept"
        files = Store(url, options).fs
        files.mkdir("served-and-swept")
        files.put(f"{served_index}/", "served-and-swept/", recursive=True)
        place = ServedIndex(ServeSettings(index=url, storage_options=options))
        versions = SearcherVersions(place)
        with versions.use(1) as searcher:
            assert searcher("bees", mode="lexical").hits
            named = {file for file in place.cache.rglob("*") if file.is_file()}
            long_ago = time.time() - 2 * OPENING_S
            shard = place.cache / "dense/0123456789abcdef/0123456789abcdef-01234567"
            old = [write(shard / "lists.bin"), write(shard / "sizes.npy")]
            theirs = write(place.cache / "dense/notes/mine.txt")
            for file in [*named, *old, theirs]:
                os.utime(file, (long_ago, long_ago))
            new = write(shard / "shard.json")
        versions.drop(1)  # closes it, which sweeps
        until(lambda: not any(file.exists() for file in old), "the old files")
        assert sweep_cache(place.cache, place.manifest(1).files(), OPENING_S) == 0
        assert new.exists() and theirs.exists() and all(file.exists() for file in named)
    finally:
        server.stop()


def write(path: Path) -> Path:
    """A file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_what_vllm_sends_is_read() -> None:
    """Server-sent events of the engine, several in one string; an error as an object or as an event."""
    lines = 'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"choices": []}\n\n'
    more = 'data: {"choices": [{"delta": {"role": "assistant"}}, {"delta": {"content": "b"}}]}\n\n'
    assert _pieces(f"{lines}{more}data: [DONE]\n\n") == ["a", "b"]
    for wrong in ('data: {"error": {"message": "out of memory"}}\n\n', SimpleNamespace(error="gone")):
        with pytest.raises(GenerationError):
            _pieces(wrong)


def test_what_is_too_busy_is_not_asked_again() -> None:
    def refuse(timeout_s: float) -> Any:
        raise BackPressureError(num_queued_requests=9, max_queued_requests=9)

    def again() -> Any:
        raise AssertionError("asked again")

    with pytest.raises(Overloaded):
        reply_of(SimpleNamespace(result=refuse, cancel=print), Deadline(1e12), again)  # type: ignore[arg-type]


def test_files_are_read_once_and_a_changed_one_is_named(served_index: Path, tmp_path: Path) -> None:
    store = Store(str(served_index))
    manifest = read_manifest(store)
    records = served_files(manifest, manifest.shards)
    known: set[Any] = set()
    check_files(store, records, known, tmp_path)
    assert known == set(records)
    wrong = replace(records[-1], sha256="0" * 64)
    with pytest.raises(IndexDamaged, match=Path(wrong.key).name):
        check_files(store, [*records, wrong], known, tmp_path)


def test_lists_of_other_vectors_are_no_shard(served_index: Path) -> None:
    """Every file may be whole, and still the lists of one shard be those of another."""
    with Searcher.open(str(served_index)) as searcher:
        check_shards(searcher.shards)
        first, second = searcher.shards.shards[:2]
        object.__setattr__(first, "dense", second.dense)
        with pytest.raises(IndexDamaged, match="of its own passages"):
            check_shards(searcher.shards)


def test_the_manifest_of_no_passages_has_a_layout() -> None:
    empty = Manifest.model_construct(shards=[], passages=0)
    assert ShardAssignment(empty, 2).owners(np.array([-1])) == []
