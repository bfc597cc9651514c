"""The build as its users rely on it: exact spans, nothing lost, nothing redone, bad input told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.upkeep.verification import verify
from retrieval.format.manifest import read_manifest
from retrieval.search.searcher import Searcher
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.build_tools import passages, snapshot, vectors

SMALL = {"index": {"part_passages": 100}, "corpus": {"slice_bytes": 40_000}}


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
            assert document["_id"] in [hit.doc_id for hit in hits]
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


def test_verify_counts_again(built: tuple[Path, Path]) -> None:
    store = Store(str(built[1]))
    manifest = read_manifest(store)
    manifest.parts[0].documents += 1
    manifest.parts[1].documents -= 1
    problems = verify(store, manifest, lambda done, total: None)
    assert len(problems) == 2
    assert manifest.parts[0].passages.key in problems[0]
    assert "documents, the manifest says" in problems[0]
