"""The folder of an index is its own: nothing of others is written over, removed, or read as corpus."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipelines.runtime.index_claim import sweep_temporary
from pipelines.upkeep.pruning import prune
from retrieval.errors import ConfigError, IndexDamaged, InputError
from retrieval.format.manifest import read_manifest, version_key
from retrieval.search.searcher import Searcher
from retrieval.storage.copies import default_cache
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl

MINE = [
    "tmp/notes.txt", "tmp/corpusmill-plan.md", "models/my-model/config.json", "parts/thesis.docx",
    "versions/draft.json", "dense/readme.md", "lexical/words.txt", "vectors/a/b.npy",
    "passages/holiday.arrow", "thesis.docx",
]  # fmt: skip


@pytest.fixture(scope="module")
def index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    build(write_jsonl(root / "corpus.jsonl", make_documents(12)), root / "index")
    return root / "index"


def test_a_build_refuses_a_folder_that_holds_other_things(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_documents(2))
    for name in ("home/tmp/notes.txt", "deep/a/b/c/notes.txt", "link/.hidden"):
        folder = tmp_path / name.partition("/")[0]
        path = write(tmp_path / name)
        with pytest.raises(ConfigError, match="is not empty and is no index of corpusmill"):
            build(corpus, folder)
        assert [p for p in folder.rglob("*") if p.is_file()] == [path]
    with pytest.raises(ConfigError, match="no index of corpusmill: it holds corpus.jsonl"):
        build(corpus, tmp_path)


def test_an_empty_folder_is_taken_and_marked(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_documents(2))
    (tmp_path / "index" / "empty" / "folders").mkdir(parents=True)
    build(corpus, tmp_path / "index")
    told = json.loads((tmp_path / "index" / "corpusmill.json").read_text())
    assert told["what"] == "corpusmill index"
    assert told.keys() == {"what", "format", "created", "by"}


def test_what_people_put_into_an_index_is_never_removed(
    build: Callable[..., Any], index: Path, tmp_path: Path
) -> None:
    paths = [write(index / name) for name in MINE]
    (index / "parts" / "empty").mkdir()
    leftover = write(index / "tmp" / f"corpusmill-{'a' * 32}")
    write(index / "tmp" / f"corpusmill-{'b' * 32}" / "half")
    unnamed = write(index / "vectors" / "0123456789abcdef" / f"{'c' * 24}-01234567.npy")
    corpus = write_jsonl(index.parent / "corpus.jsonl", make_documents(14))
    build(corpus, index)
    prune(Store(str(index)), 1, dry_run=False)
    assert all(path.read_text() == "mine" for path in paths)
    assert (index / "parts" / "empty").is_dir()
    assert not leftover.exists()
    assert not unnamed.exists()
    assert not unnamed.parent.exists()
    assert read_manifest(Store(str(index))).version >= 2
    for path in paths:
        path.unlink()


def test_a_link_named_like_a_folder_for_temporary_files_leads_nowhere(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / f"corpusmill-{'a' * 32}")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "tmp").symlink_to(tmp_path / "outside")
    with pytest.raises(IndexDamaged, match="by a link"):
        sweep_temporary(Store(str(tmp_path / "index")))
    assert outside.exists()


def test_prune_refuses_what_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "000001.json").write_text("{}")
    (tmp_path / "LATEST").write_text("1\n")
    with pytest.raises(ConfigError, match="no index of corpusmill"):
        prune(Store(str(tmp_path)), 1, dry_run=False)
    assert (tmp_path / "versions" / "000001.json").exists()


def test_no_index_is_read_as_corpus(
    build: Callable[..., Any], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "corpus.jsonl", make_documents(3))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second build finds its own index there
        assert build(".", "index").manifest.documents == 3
    (tmp_path / "another").symlink_to(index)
    assert build(".", "index").manifest.documents == 3
    for corpus in (index, index / "parts"):
        with pytest.raises(InputError, match="index"):
            build(corpus, tmp_path / "new")


@pytest.fixture
def elsewhere(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The index on storage of somebody else, and a cache on this machine."""
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.put(f"{index}/", "/bucket/index/", recursive=True)
    return Store("memory://bucket/index")


@pytest.mark.parametrize("key", ["../../escaped", "/tmp/escaped", "a/../../../escaped", "..", "x\0y"])
def test_a_manifest_that_names_files_outside_writes_none(elsewhere: Store, tmp_path: Path, key: str) -> None:
    version = read_manifest(elsewhere).version
    value = elsewhere.read_json(version_key(version))
    value.pop("sha256")
    for place in ("quantizer", "lexical_statistics"):
        value[place][0]["key"] = key
    value["parts"][0]["vectors"]["key"] = key
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    elsewhere.put_json(version_key(version), {"sha256": hashlib.sha256(text.encode()).hexdigest(), **value})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(IndexDamaged, match="names a file"):
        Searcher.open(elsewhere.url)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_copy_is_never_served_and_verify_tells_it(elsewhere: Store) -> None:
    with Searcher.open(elsewhere.url) as search:
        first = search("violins").hits[0]
    manifest = read_manifest(elsewhere)
    copy = default_cache(elsewhere) / manifest.shards[0].passages[0].key
    lie(copy)
    with Searcher.open(elsewhere.url) as search:
        assert search("violins").hits[0] == first
    lie(copy)
    told = CliRunner().invoke(app, ["verify", elsewhere.url, "--json"])
    assert told.exit_code == 1, told.output
    values = json.loads(told.stdout)
    assert not values["intact"]
    assert not values["damaged"]
    assert "differed from its checksum" in values["damaged_copies"][0]
    assert CliRunner().invoke(app, ["verify", elsewhere.url]).exit_code == 0


def lie(copy: Path) -> None:
    data = copy.read_bytes()
    assert data.count(b"violins")
    copy.write_bytes(data.replace(b"violins", b"tubas!!"))


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return path
