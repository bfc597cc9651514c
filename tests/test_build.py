"""The build as its users rely on it: exact spans, nothing lost, nothing redone, bad input told."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.config import validate
from pipelines.verify import verify
from retrieval.errors import IndexDamaged, InputError
from retrieval.manifest import read_manifest
from retrieval.searcher import Searcher
from retrieval.storage import Store
from tests.conftest import make_documents, write_jsonl

SMALL = {"index": {"part_passages": 100}, "corpus": {"slice_bytes": 40_000}}


def snapshot(index: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every file."""
    return {
        str(path.relative_to(index)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in index.rglob("*")
        if path.is_file()
    }


def passages(index: Path) -> pd.DataFrame:
    """All passages of the latest version in the order of their ids."""
    manifest = read_manifest(Store(str(index)))
    return pd.concat(
        [pd.read_parquet(index / part.passages.key) for part in manifest.parts], ignore_index=True
    )


def vectors(index: Path) -> np.ndarray:
    """Their vectors, in the same order."""
    manifest = read_manifest(Store(str(index)))
    return np.concatenate([np.load(index / part.vectors.key) for part in manifest.parts])


@pytest.fixture(scope="module")
def built(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus folder and its index, in many parts and as ivf_pq in several shards and pieces."""
    root = tmp_path_factory.mktemp("built")
    corpus = root / "corpus"
    write_jsonl(corpus / "a.jsonl", make_documents(200))
    index = root / "index"
    build(
        corpus, index, corpus=SMALL["corpus"], dense={"type": "ivf_pq", "nlist": 8},
        index={"part_passages": 100, "shard_passages": 350, "piece_passages": 200},
    )  # fmt: skip
    return corpus, index


def test_spans_are_exact_and_every_word_is_in_a_passage(built: tuple[Path, Path]) -> None:
    _, index = built
    documents = {document["_id"]: document for document in make_documents(200)}
    frame = passages(index)
    assert set(frame["doc_id"]) == set(documents)
    assert (frame.groupby("doc_id").size() > 1).any()
    for doc_id, rows in frame.groupby("doc_id"):
        text = documents[doc_id]["text"]
        covered = bytearray(len(text))
        for row in rows.itertuples():
            assert text[row.start : row.end] == row.text
            assert row.title == documents[doc_id]["title"]
            covered[row.start : row.end] = b"\1" * (row.end - row.start)
        assert rows["passage"].tolist() == list(range(len(rows)))
        assert all(covered[place] or text[place].isspace() for place in range(len(text)))
    assert frame["metadata.year"].tolist() == [documents[doc_id]["year"] for doc_id in frame["doc_id"]]


def test_manifest_adds_up_and_verifies(built: tuple[Path, Path]) -> None:
    store = Store(str(built[1]))
    manifest = read_manifest(store)
    assert manifest.documents == 200
    assert manifest.passages == len(passages(built[1])) == sum(shard.rows for shard in manifest.shards)
    assert len(manifest.shards) > 1
    assert len(manifest.parts) > 3
    assert manifest.dense["type"] == "ivf_pq"
    assert manifest.recall["table"]
    assert manifest.metadata == {"year": "integer"}
    assert {cost.stage for cost in manifest.costs} >= {"read", "embed", "train", "merge", "tune", "verify"}
    assert verify(store, manifest, lambda done, total: None) == []


def test_search_finds_a_passage_by_its_own_words(built: tuple[Path, Path]) -> None:
    with Searcher.open(str(built[1])) as search:
        for number in (3, 77, 150):
            document = make_documents(1, first=number)[0]
            hits = search(f"{document['title']} {document['text'][:400]}", k=5)
            assert len(hits) == 5
            assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
            assert document["_id"] in [hit.passage.doc_id for hit in hits]
        scores, ids = search.search_vectors(vectors(built[1])[:50].astype(np.float32), 1)
        exact = (vectors(built[1])[:50].astype(np.float32) ** 2).sum(axis=1)
        assert (ids[:, 0] == np.arange(50)).mean() > 0.9
        np.testing.assert_allclose(
            scores[ids[:, 0] == np.arange(50), 0], exact[ids[:, 0] == np.arange(50)], rtol=1e-4
        )


def test_a_finished_build_writes_nothing(built: tuple[Path, Path], build: Callable[..., Any]) -> None:
    corpus, index = built
    before = snapshot(index)
    again = build(
        corpus, index, corpus=SMALL["corpus"], dense={"type": "ivf_pq", "nlist": 8},
        index={"part_passages": 100, "shard_passages": 350, "piece_passages": 200},
    )  # fmt: skip
    assert not again.changed
    assert snapshot(index) == before


def test_a_setting_redoes_only_what_depends_on_it(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus, index = write_jsonl(tmp_path / "c.jsonl", make_documents(60)), tmp_path / "index"
    first = build(corpus, index, dense={"type": "ivf_flat", "nlist": 4}).manifest
    before = snapshot(index)
    second = build(corpus, index, dense={"type": "ivf_flat", "nlist": 2}).manifest
    assert (first.version, second.version) == (1, 2)
    kept = {
        name: place
        for name, place in snapshot(index).items()
        if name.startswith(("parts/", "vectors/", "passages/"))
    }
    assert kept == {name: place for name, place in before.items() if name in kept}
    assert first.quantizer != second.quantizer
    third = build(corpus, index, dense={"type": "ivf_flat", "nlist": 2}, model={"max_tokens": 64}).manifest
    assert {part.vectors.key for part in third.parts}.isdisjoint(part.vectors.key for part in second.parts)
    old = Searcher(Store(str(index)), read_manifest(Store(str(index)), 1), tmp_path)
    assert len(old("volcanoes", k=3)) == 3  # the versions before are still whole
    old.close()


def test_a_new_file_adds_its_parts_at_the_end(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    write_jsonl(corpus / "b.jsonl", make_documents(60))
    settings = {"dense": {"type": "ivf_flat", "nlist": 4}, "index": {"part_passages": 50}}
    first = build(corpus, index, **settings).manifest
    old_passages, old_vectors, before = passages(index), vectors(index), snapshot(index)
    write_jsonl(corpus / "a.jsonl", make_documents(20, first=1000))  # it sorts before the file that is there
    second = build(corpus, index, **settings).manifest
    assert second.documents == 80
    assert [part.passages for part in second.parts[: len(first.parts)]] == [
        part.passages for part in first.parts
    ]
    new = passages(index)
    pd.testing.assert_frame_equal(new.iloc[: len(old_passages)], old_passages)
    np.testing.assert_array_equal(vectors(index)[: len(old_vectors)], old_vectors)
    assert second.quantizer == first.quantizer
    after = snapshot(index)
    untouched = [name for name in before if name.startswith(("parts/", "vectors/", "dense/", "quantizer/"))]
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


def test_a_changed_or_removed_file_leaves_the_next_version(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    write_jsonl(corpus / "a.jsonl", make_documents(10))
    write_jsonl(corpus / "b.jsonl", make_documents(10, first=100))
    write_jsonl(corpus / "c.jsonl", make_documents(10, first=200))
    build(corpus, index)
    os.unlink(corpus / "a.jsonl")
    write_jsonl(corpus / "b.jsonl", make_documents(5, first=300))
    build(corpus, index)
    expected = {document["_id"] for document in make_documents(10, first=200) + make_documents(5, first=300)}
    assert set(passages(index)["doc_id"]) == expected


def test_two_builds_of_one_corpus_are_equal(
    build: Callable[..., Any], built: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, index = built
    settings = {**SMALL["corpus"]}
    build(corpus, tmp_path / "index", corpus=settings, index={"part_passages": 100}, ray={"embed_workers": 2})
    pd.testing.assert_frame_equal(passages(tmp_path / "index"), passages(index))
    np.testing.assert_array_equal(vectors(tmp_path / "index"), vectors(index))


@pytest.mark.parametrize(("policy", "kept"), [("keep_first", "old"), ("keep_last", "new")])
def test_duplicate_ids_are_kept_as_configured(
    build: Callable[..., Any], tmp_path: Path, policy: str, kept: str
) -> None:
    rows = [{"_id": f"x{number}", "text": f"old text number {number}"} for number in range(30)]
    again = [{"_id": f"x{number}", "text": f"new text number {number}"} for number in (3, 5)]
    write_jsonl(tmp_path / "corpus" / "1.jsonl", rows)
    write_jsonl(tmp_path / "corpus" / "2.jsonl", again)
    manifest = build(tmp_path / "corpus", tmp_path / "index", corpus={"duplicates": policy}).manifest
    assert (manifest.documents, manifest.rejected) == (30, 2)
    frame = passages(tmp_path / "index").set_index("doc_id")
    assert frame.index.is_unique
    assert frame.loc["x3", "text"] == f"{kept} text number 3"


def test_duplicate_ids_fail_by_default_and_are_named(build: Callable[..., Any], tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "c" / "1.jsonl", [{"_id": "same", "text": "one one"}, {"_id": "other", "text": "two"}]
    )
    write_jsonl(tmp_path / "c" / "2.jsonl", [{"_id": "same", "text": "three"}])
    with pytest.raises(InputError, match=r"'same': 1\.jsonl at 0, 2\.jsonl at 0"):
        build(tmp_path / "c", tmp_path / "index")
    assert not (tmp_path / "index" / "LATEST").exists()


def test_too_many_rejects_fail_and_are_named_and_a_higher_share_goes_on(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    lines = [json.dumps(document) for document in make_documents(40)]
    lines[7], lines[9] = "{broken", json.dumps({"_id": "empty", "text": "  "})
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"2 of 40 documents were rejected \(5\.00%\)") as caught:
        build(path, tmp_path / "index")
    assert f"c.jsonl, at {sum(len(line) + 1 for line in lines[:7])}: " in str(caught.value)
    manifest = build(path, tmp_path / "index", corpus={"max_reject_share": 0.1}).manifest
    assert (manifest.documents, manifest.rejected) == (38, 2)
    rejects = [
        file for entry in manifest.slices for file in entry.files if file.key.endswith(".rejects.jsonl")
    ]
    told = [json.loads(line) for line in (tmp_path / "index" / rejects[0].key).read_text().splitlines()]
    assert [reject["source"] for reject in told] == ["c.jsonl", "c.jsonl"]


def test_no_secret_enters_the_index(build: Callable[..., Any], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "c.jsonl", make_documents(5))
    secret = "hunter2-very-secret"
    build(
        tmp_path / "c.jsonl", tmp_path / "index",
        corpus={"storage_options": {"token": secret}}, index={"storage_options": {"key": secret}},
    )  # fmt: skip
    for path in (tmp_path / "index").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_verify_names_every_damaged_file(build: Callable[..., Any], tmp_path: Path) -> None:
    index = tmp_path / "index"
    write_jsonl(tmp_path / "c.jsonl", make_documents(20))
    manifest = build(tmp_path / "c.jsonl", index).manifest
    for record in manifest.files():
        path = index / record.key
        good = path.read_bytes()
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        path.write_bytes(bytes(flipped))
        problems = verify(Store(str(index)), manifest, lambda done, total: None)
        assert any(record.key in problem for problem in problems), record.key
        path.write_bytes(good)
    assert verify(Store(str(index)), manifest, lambda done, total: None) == []


def test_what_is_deleted_is_made_again(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus, index = write_jsonl(tmp_path / "c.jsonl", make_documents(60)), tmp_path / "index"
    settings = {"dense": {"type": "ivf_flat", "nlist": 4}, "index": {"part_passages": 50}}
    first = build(corpus, index, **settings).manifest
    old_passages, old_vectors = passages(index), vectors(index)
    shard = first.shards[0]
    victims = [
        first.parts[1].vectors,
        first.parts[2].passages,
        first.quantizer[0],
        shard.dense[0],
        shard.passages[0],
    ]
    for record in victims:
        (index / record.key).unlink()
    with pytest.raises(IndexDamaged, match="is missing"):
        Searcher.open(str(index))
    again = build(corpus, index, **settings)
    assert again.changed
    assert verify(Store(str(index)), again.manifest, lambda done, total: None) == []
    pd.testing.assert_frame_equal(passages(index), old_passages)
    np.testing.assert_array_equal(vectors(index), old_vectors)
    assert not build(corpus, index, **settings).changed


def test_a_part_that_is_full_to_the_brim_counts_its_own_documents(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [{"_id": f"x{number}", "text": f"text number {number}"} for number in range(7)]
    corpus = write_jsonl(tmp_path / "c.jsonl", rows)
    manifest = build(corpus, tmp_path / "index", index={"part_passages": 3}).manifest
    assert [(part.rows, part.documents) for part in manifest.parts] == [(3, 3), (3, 3), (1, 1)]


def test_an_empty_file_that_is_read_first_stops_nothing(build: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "0.jsonl").touch()
    write_jsonl(tmp_path / "corpus" / "1.jsonl", make_documents(150))
    manifest = build(tmp_path / "corpus", tmp_path / "index").manifest
    assert (manifest.documents, manifest.rejected) == (150, 1)


def test_another_mapping_looks_at_the_metadata_again(build: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{"_id": f"x{number}", "main_text": f"text {number}", "year": number} for number in range(5)]
    corpus = write_jsonl(tmp_path / "c.jsonl", rows)
    with pytest.raises(InputError, match="main_text"):
        build(corpus, tmp_path / "index")
    manifest = build(corpus, tmp_path / "index", corpus={"fields": {"text": "main_text"}}).manifest
    assert manifest.metadata == {"year": "integer"}


def test_verify_counts_again(built: tuple[Path, Path]) -> None:
    store = Store(str(built[1]))
    manifest = read_manifest(store)
    manifest.parts[0].documents += 1
    manifest.parts[1].documents -= 1
    problems = verify(store, manifest, lambda done, total: None)
    assert len(problems) == 2
    assert manifest.parts[0].passages.key in problems[0]
    assert "documents, the manifest says" in problems[0]


def test_unknown_keys_are_named_with_the_nearest_one() -> None:
    from retrieval.errors import ConfigError

    values = {"corpus": {"paths": "x"}, "index": {"path": "y"}, "dense": {"nlists": 4}}
    with pytest.raises(ConfigError, match=r"unknown key dense\.nlists; the nearest one is dense\.nlist"):
        validate(values, "c.yaml")
    with pytest.raises(ConfigError, match=r"index is missing and has no default"):
        validate({"corpus": {"paths": "x"}}, "c.yaml")
