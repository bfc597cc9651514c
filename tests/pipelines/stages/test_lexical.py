"""The lexical index as a stage of the build: complete, resumable, rebuilt only where its text changed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.upkeep.verification import verify
from retrieval.format.manifest import Manifest, read_manifest
from retrieval.format.passages import Passages
from retrieval.lexical.analysis import Analyzer
from retrieval.lexical.bm25 import BM25
from retrieval.lexical.lexical_shard import LexicalShard
from retrieval.lexical.query import make_query
from retrieval.lexical.statistics import Statistics
from retrieval.settings import LexicalSettings
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.build_tools import snapshot

pytestmark = pytest.mark.slow

QUERIES = ["violins near place 3", "On bridges 18", "comets seen in 1529", "note 7 about clocks", "1511"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", make_documents(60))


@pytest.fixture(scope="module")
def built(build: Callable[..., Any], corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of several shards."""
    index = tmp_path_factory.mktemp("built") / "index"
    build(corpus, index, **cut(30))
    return index


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def cut(shard: int, **sections: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": {"part_passages": 10, "shard_passages": shard}, "dense": {"type": "flat"}, **sections,
    }  # fmt: skip


def top(index: Path, manifest: Manifest) -> list[list[tuple[str, float]]]:
    """The best passages of every query over all shards, as ids and scores."""
    store = Store(str(index))
    settings = LexicalSettings.model_validate(manifest.lexical["settings"])
    statistics = Statistics.open(store.local_folder(manifest.lexical_statistics, index))
    bm25 = BM25(settings.k1, settings.b, manifest.lexical["average_length"])
    assert bm25.average_length == statistics.average_length
    queries = [make_query(text, Analyzer(settings), statistics) for text in QUERIES]
    found: list[list[tuple[float, int, str]]] = [[] for _ in QUERIES]
    for record in manifest.shards:
        shard = LexicalShard.open(store.local_folder(record.lexical, index), record.rows)
        passages = Passages(store.local(record.passages[0], index), record.rows)
        scores, rows = shard.search(queries, 10, bm25)
        for number in range(len(QUERIES)):
            some = rows[number] >= 0
            named = zip(
                scores[number][some], passages.get(rows[number][some]), rows[number][some], strict=True
            )
            found[number] += [(-score, record.base + int(row), hit.passage_id) for score, hit, row in named]
    return [[(name, -score) for score, _, name in sorted(own)[:10]] for own in found]


def test_every_shard_is_indexed_and_verified(built: Path) -> None:
    store = Store(str(built))
    manifest = read_manifest(store)
    assert len(manifest.shards) > 2
    assert manifest.lexical["documents"] == manifest.passages
    assert all(record.lexical for record in manifest.shards)
    assert verify(store, manifest, lambda _done, _total: None) == []
    assert {"lexical", "statistics"} <= {cost.stage for cost in manifest.costs if cost.bytes_written}
    assert top(built, manifest)[1][0][0].startswith("d00018#")  # by its title


def test_ranks_are_those_of_one_shard(
    build: Callable[..., Any], corpus: Path, built: Path, tmp_path: Path
) -> None:
    whole = build(corpus, tmp_path / "one", **cut(10_000)).manifest
    assert len(whole.shards) == 1
    assert top(tmp_path / "one", whole) == top(built, read_manifest(Store(str(built))))


def test_only_what_depends_on_a_setting_is_built_again(
    build: Callable[..., Any], corpus: Path, copy: Path
) -> None:
    index, first = copy, read_manifest(Store(str(copy)))
    before = snapshot(index)
    assert not build(corpus, index, **cut(30)).changed
    assert snapshot(index) == before

    second = build(corpus, index, **cut(30, lexical={"k1": 0.9, "b": 0.4})).manifest
    assert [shard.lexical for shard in second.shards] == [shard.lexical for shard in first.shards]
    assert second.lexical["settings"]["k1"] == 0.9
    assert top(index, second) != top(index, first)

    third = build(corpus, index, **cut(30, lexical={"stemming": False})).manifest
    keys = {file.key for shard in first.shards for file in shard.lexical}
    assert not keys & {file.key for shard in third.shards for file in shard.lexical}
    assert [shard.dense for shard in third.shards] == [shard.dense for shard in first.shards]

    none = build(corpus, index, **cut(30, lexical={"enabled": False})).manifest
    assert (none.lexical, none.lexical_statistics) == ({}, [])
    assert not any(shard.lexical for shard in none.shards)
    now = snapshot(index)
    assert {key: now[key] for key in keys} == {key: before[key] for key in keys}


def test_appended_documents_leave_earlier_shards_as_they_are(
    build: Callable[..., Any], built: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "corpus/a.jsonl", make_documents(40))
    first = build(tmp_path / "corpus", tmp_path / "index", **cut(30)).manifest
    write_jsonl(tmp_path / "corpus/b.jsonl", make_documents(20, first=40))
    second = build(tmp_path / "corpus", tmp_path / "index", **cut(30)).manifest
    assert second.shards[0].lexical == first.shards[0].lexical
    assert second.lexical["documents"] == second.passages > first.passages
    # The same documents from one file, cut into other parts and shards.
    assert top(tmp_path / "index", second) == top(built, read_manifest(Store(str(built))))


def test_a_missing_file_is_made_again_and_nothing_else(
    build: Callable[..., Any], corpus: Path, copy: Path
) -> None:
    index, first = copy, read_manifest(Store(str(copy)))
    hits = top(index, first)
    lost = next(file.key for file in first.shards[1].lexical if file.key.endswith("/rows.bin"))
    (index / lost).unlink()
    before = snapshot(index)
    second = build(corpus, index, **cut(30)).manifest
    assert top(index, second) == hits
    assert verify(Store(str(index)), second, lambda _done, _total: None) == []
    assert [shard.lexical for shard in second.shards[2:]] == [shard.lexical for shard in first.shards[2:]]
    kept = {key: value for key, value in before.items() if key.startswith(("vectors/", "parts/", "dense/"))}
    now = snapshot(index)
    assert {key: now[key] for key in kept} == kept


def test_verify_names_a_flipped_bit(copy: Path) -> None:
    manifest = read_manifest(Store(str(copy)))
    random = np.random.default_rng(0)
    files = [file for file in [*manifest.shards[0].lexical, *manifest.lexical_statistics] if file.bytes]
    for file in files:
        data = bytearray((copy / file.key).read_bytes())
        data[int(random.integers(len(data)))] ^= 4
        (copy / file.key).write_bytes(data)
    problems = verify(Store(str(copy)), manifest, lambda _done, _total: None)
    assert sorted(line.split(":")[0] for line in problems) == sorted(file.key for file in files)
