"""The background of a search: a fixed sample of an index's vectors, made once and verified like the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.upkeep.verification import verify
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format.manifest import read_manifest
from retrieval.fusions.calibrated import STRENGTHS, STRONG
from retrieval.search.searcher import Searcher
from retrieval.settings import SearchSettings
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.hostile.hostile_index import replace_file, rewrite
from tests.tools.samples.encoder_models import model_folder

SETTINGS: dict[str, Any] = {
    "dense": {"tune_queries": 20}, "chunk": {"size": 96},
    "index": {"part_passages": 50, "shard_passages": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def built(
    build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Callable[[], Any]]:
    """An index, and what builds it again, with whatever is in its corpus by then."""
    root = tmp_path_factory.mktemp("sampling")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(40))
    build(corpus, root / "index", **SETTINGS)
    return root / "index", lambda: build(root / "*.jsonl", root / "index", **SETTINGS)


def sample_of(index: Path) -> np.ndarray:
    return np.load(index / read_manifest(Store(str(index))).background[0].key, allow_pickle=False)


def test_it_is_a_sample_of_the_vectors(built: tuple[Path, Any]) -> None:
    """Of a small index all of them."""
    index, _ = built
    store = Store(str(index))
    manifest = read_manifest(store)
    assert manifest.background_rows == manifest.passages == len(sample_of(index))
    every = np.concatenate([np.load(index / part.vectors.key) for part in manifest.parts])
    assert np.array_equal(np.sort(every.sum(axis=1)), np.sort(sample_of(index).sum(axis=1)))
    assert verify(store, manifest, lambda _done, _total: None) == []
    assert {cost.stage for cost in manifest.costs} >= {"background"}


def test_the_shares_of_a_hit_are_measured_by_it(built: tuple[Path, Any]) -> None:
    index, _ = built
    with Searcher.open(str(index)) as search:
        query = "glaciers near place 7"
        [vector] = search.encode([query])
        low = float((sample_of(index).astype(np.float32) @ vector).mean())
        hits = search(query, k=5, explain=True)
        best = max(search(query, k=1, mode="dense").hits, key=lambda hit: hit.score).score
    for hit in hits:
        assert hit.explanation is not None
        dense = hit.explanation.signals["dense"]
        assert dense.score is not None
        # By the best, and by how near that is to 1, as long as it is of a common strength.
        assert STRENGTHS[0] < (best - low) / (1 - low) / STRONG < STRENGTHS[1]
        assert dense.calibrated == pytest.approx((dense.score - low) / (1 - low) / STRONG, abs=1e-3)


def test_a_damaged_one_is_refused(built: tuple[Path, Any]) -> None:
    index, _ = built
    path = index / read_manifest(Store(str(index))).background[0].key
    whole, manifest = path.read_bytes(), (index / "versions" / "000001.json").read_bytes()
    try:
        values = sample_of(index).copy()
        values[3, 5] = np.nan
        np.save(path, values)
        replace_file(index, path)
        with pytest.raises(IndexDamaged, match="not finite"):
            Searcher.open(str(index))
        path.write_bytes(whole[:-2])
        with pytest.raises(IndexDamaged):
            Searcher.open(str(index))
    finally:
        path.write_bytes(whole)
        (index / "versions" / "000001.json").write_bytes(manifest)


def test_an_index_without_one_is_fused_by_ranks(built: tuple[Path, Any]) -> None:
    index, _ = built
    manifest = (index / "versions" / "000001.json").read_bytes()
    try:
        rewrite(index, lambda value: value.update(background=[], background_rows=0))
        with Searcher.open(str(index)) as search:
            with pytest.raises(ConfigError, match="built without") as told:
                search("glaciers")
            assert "rrf" in str(told.value.hint)
            assert search("glaciers", settings=SearchSettings(fusion="rrf")).hits
            assert search("glaciers", mode="lexical", settings=SearchSettings(fusion="rrf")).hits
    finally:
        (index / "versions" / "000001.json").write_bytes(manifest)


def test_other_vectors_of_the_same_texts_have_another_one(build: Callable[..., Any], tmp_path: Path) -> None:
    """Parts are named by their texts, and a sample by what embedded them too."""
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_documents(20))
    chunk = {"unit": "characters", "size": 400}
    other = model_folder(tmp_path / "other", config={"num_hidden_layers": 1}, max_seq_length=64)
    for model in ({}, {"passage_prompt": "a note: "}, {"name": str(other)}):
        build(corpus, tmp_path / "index", chunk=chunk, model=model, dense={"tune_queries": 20})
    first, prompted, small = (read_manifest(Store(str(tmp_path / "index")), number) for number in (1, 2, 3))
    assert [part.content for part in first.parts] == [part.content for part in small.parts]
    assert len({manifest.background[0].key for manifest in (first, prompted, small)}) == 3
    with Searcher.open(str(tmp_path / "index")) as search:
        assert search("glaciers near place 7").hits


def test_another_corpus_has_another_one_and_the_old_version_keeps_its_own(built: tuple[Path, Any]) -> None:
    index, again = built
    before = read_manifest(Store(str(index)), 1)
    again()
    assert read_manifest(Store(str(index))).background == before.background  # nothing changed
    write_jsonl(index.parent / "more.jsonl", make_documents(10, first=40))
    again()
    after = read_manifest(Store(str(index)))
    assert after.background != before.background and after.background_rows == after.passages
    with Searcher.open(str(index), version=1) as search:
        assert search("glaciers").hits
