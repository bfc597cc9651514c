"""What a build does with bad input, repeated ids, damaged files and secrets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.config.build_settings import validate
from pipelines.upkeep.verification import verify
from retrieval.errors import IndexDamaged, InputError
from retrieval.search.searcher import Searcher
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.build_tools import passages, vectors


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


def test_unknown_keys_are_named_with_the_nearest_one() -> None:
    from retrieval.errors import ConfigError

    values = {"corpus": {"paths": "x"}, "index": {"path": "y"}, "dense": {"nlists": 4}}
    with pytest.raises(ConfigError, match=r"unknown key dense\.nlists; the nearest one is dense\.nlist"):
        validate(values, "c.yaml")
    with pytest.raises(ConfigError, match=r"index is missing and has no default"):
        validate({"corpus": {"paths": "x"}}, "c.yaml")
