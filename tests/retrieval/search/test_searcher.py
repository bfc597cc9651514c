"""Searches in a real index of several shards: modes, filters, re-ranking, explanations, bad input."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.errors import ConfigError, CorpusmillError, InputError
from retrieval.fusions.calibrated import STRENGTHS
from retrieval.search.searcher import Searcher
from retrieval.settings import SearchSettings
from tests.conftest import make_documents, write_jsonl

CODE = "0x80070057"


@pytest.fixture(scope="module")
def index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("search")
    documents = make_documents(120)
    documents[77]["text"] += f"\n\nThe installer stopped with {CODE} (see std::vector, café)."
    corpus = write_jsonl(root / "corpus.jsonl", documents)
    build(
        corpus, root / "index",
        dense={"type": "ivf_pq", "nlist": 4, "tune_queries": 20},
        index={"part_passages": 100, "shard_passages": 200},
        chunk={"size": 96},
    )  # fmt: skip
    return root / "index"


@pytest.fixture(scope="module")
def search(index: Path) -> Iterator[Searcher]:
    with Searcher.open(str(index)) as searcher:
        assert len(searcher.manifest.shards) > 1
        yield searcher


def keys(result: Any) -> list[str]:
    return [hit.passage_id for hit in result]


def test_every_mode_finds_the_subject(search: Searcher) -> None:
    for mode in ("dense", "lexical", "hybrid"):
        hits = search("notes about violins", k=8, mode=mode)
        assert len(hits) == 8
        assert sum("violins" in hit.text + hit.title for hit in hits) == 8, mode
        assert [hit.rank for hit in hits] == list(range(1, 9))
        assert all(a.score >= b.score for a, b in pairwise(hits))
        assert hits.coverage.full


def test_a_code_is_found_by_its_letters(search: Searcher) -> None:
    assert CODE in search(CODE, k=1, mode="lexical")[0].text
    assert CODE in search(f"what does {CODE} mean?", k=3)[0].text


def test_hybrid_is_the_fusion_of_its_halves(search: Searcher) -> None:
    query = "volcanoes seen in 1600"
    dense, lexical = (search(query, k=200, mode=mode) for mode in ("dense", "lexical"))
    expected: dict[str, float] = {}
    for half in (dense, lexical):
        for hit in half:
            expected[hit.passage_id] = expected.get(hit.passage_id, 0) + 1 / (60 + hit.rank)
    found = search(query, k=10, settings=SearchSettings(fusion="rrf"))
    for hit in found:
        assert hit.score == pytest.approx(expected[hit.passage_id])
        assert hit.score == pytest.approx(
            sum(1 / (60 + hit.stages[n].rank) for n in hit.stages if n != "hybrid")
        )
    assert min(hit.score for hit in found) >= sorted(expected.values())[-10] - 1e-9


def test_a_batch_gives_what_single_searches_give(search: Searcher) -> None:
    queries = ["bees near place 7", "clocks", "comets and rivers of 1555"]
    batch = search.batch(queries, k=5)
    assert [result.query for result in batch] == queries
    for query, result in zip(queries, batch, strict=True):
        assert keys(result) == keys(search(query, k=5))


def test_filters_hold_in_both_halves(search: Searcher) -> None:
    for mode in ("dense", "lexical", "hybrid"):
        result = search("glaciers", k=10, mode=mode, filter="year >= 1580 and year < 1590")
        assert len(result) == 10
        assert {hit.metadata["year"] for hit in result} <= set(range(1580, 1590))
        assert result.matching is not None
        assert result.matching >= 10
    alone = search("glaciers", k=10, filter='doc_id = "d00033"')
    assert {hit.doc_id for hit in alone} == {"d00033"}
    assert len(search("glaciers", filter="year > 9000")) == 0


def test_at_most_so_many_passages_of_a_document(search: Searcher) -> None:
    result = search("notes about bridges seen near a place", k=12, per_document=1)
    documents = [hit.doc_id for hit in result]
    assert len(documents) == 12 == len(set(documents))
    everything = search("bridges", k=500, per_document=2)
    counts = [[hit.doc_id for hit in everything].count(name) for name in documents]
    assert max(counts) == 2


@pytest.mark.parametrize("fusion", ["fuse", "replace"])
def test_late_interaction_orders_by_maxsim(search: Searcher, fusion: str) -> None:
    settings = SearchSettings(rerank_depth=20, rerank_fusion=fusion, fusion="rrf")
    result = search(
        "which note speaks of violins in 1571?", k=20, rerank="late-interaction", settings=settings
    )
    assert len(result) == 20
    second = sorted(result, key=lambda hit: hit.stages["late_interaction"].rank)
    scores = [hit.stages["late_interaction"].score for hit in second]
    assert scores == sorted(scores, reverse=True)
    if fusion == "replace":
        assert [hit.rank for hit in second] == list(range(1, 21))
    else:
        for hit in result:
            ranks = hit.stages["hybrid"].rank, hit.stages["late_interaction"].rank
            assert hit.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks))


@pytest.mark.parametrize(
    ("mode", "rerank", "signals"),
    [
        ("hybrid", "none", {"dense", "lexical"}),
        ("hybrid", "late-interaction", {"dense", "lexical", "late_interaction"}),
        ("dense", "late-interaction", {"dense", "late_interaction"}),
        ("lexical", "late-interaction", {"lexical", "late_interaction"}),
        ("dense", "none", set()),
    ],
)
def test_the_signals_of_an_explanation_add_up_to_the_score(
    search: Searcher, mode: str, rerank: str, signals: set[str]
) -> None:
    """Each between what a random passage gets and the best, and complete: nobody's candidate lacks one."""
    for hit in search("violins near place 7", k=15, mode=mode, rerank=rerank, explain=True):
        assert hit.explanation is not None
        found = hit.explanation.signals
        assert set(found) == signals
        for name, one in found.items():
            assert one.share == pytest.approx(one.weight * one.calibrated)
            most = STRENGTHS[1] if name == "dense" else 1.0
            assert one.score is not None and one.calibrated <= most + 1e-6, name
            if name in hit.stages:
                assert one.score == pytest.approx(hit.stages[name].score, rel=1e-5)
        if signals:
            assert sum(one.share for one in found.values()) == pytest.approx(hit.score)
            assert sum(one.weight for one in found.values()) == pytest.approx(1)


def test_candidates_of_one_half_are_scored_by_the_other(search: Searcher) -> None:
    """Exactly: whatever candidates a search had, a passage has the same scores."""
    query = "violins near place 7"
    many = SearchSettings(candidates=search.manifest.passages)
    wide = {hit.passage_id: hit for hit in search(query, k=50, settings=many, explain=True)}
    compared = 0
    for hit in search(query, k=10, settings=SearchSettings(candidates=10), explain=True):
        if hit.passage_id in wide:
            own, other = (one.explanation.signals for one in (hit, wide[hit.passage_id]) if one.explanation)
            assert [one.score for one in own.values()] == [one.score for one in other.values()]
            compared += 1
    assert compared >= 5


def test_an_explanation_adds_up(search: Searcher) -> None:
    result = search("violins near place 7", k=5, rerank="late-interaction", explain=True)
    value = json.loads(json.dumps(result.as_json()))
    assert value["coverage"] == {"passages": search.manifest.passages, "searched": search.manifest.passages,
                                 "full": True, "missing": []}  # fmt: skip
    assert {"encode", "dense", "lexical", "late_interaction", "total"} <= set(value["timings_ms"])
    for hit in result:
        why = hit.explanation
        assert why is not None
        assert why.shard in {shard.name for shard in search.manifest.shards}
        assert why.version == 1
        assert why.dense_exact is not None
        if "dense" in hit.stages:
            assert why.dense_exact == pytest.approx(hit.stages["dense"].score, abs=1e-4)
            assert why.dense_quantized is not None
        if "lexical" in hit.stages:
            assert sum(term.score for term in why.terms) == pytest.approx(
                hit.stages["lexical"].score, rel=1e-4
            )
        total = sum(token.score for token in why.tokens)
        assert total == pytest.approx(hit.stages["late_interaction"].score, rel=2e-2)
        for token in why.tokens:
            if token.start >= 0:
                assert 0 <= token.start < token.end <= len(hit.text)


def test_settings_of_the_index_hold_until_a_query_says_otherwise(index: Path) -> None:
    settings = SearchSettings(mode="lexical", lexical_weight=2.0)
    with Searcher.open(str(index), settings=settings) as search:
        assert set(search("violins", k=1)[0].stages) == {"lexical"}
        assert set(search("violins", k=1, mode="dense")[0].stages) == {"dense"}


@pytest.mark.parametrize(
    "query",
    [
        "(unbalanced",
        'a "quote',
        "title:x AND OR NOT",
        "[1 TO",
        "\\",
        "a\0b violins",
        "é" * 40,
        "*",
        "bees^2~3",
        "?",
    ],
)
def test_text_is_never_taken_for_syntax(search: Searcher, query: str) -> None:
    for mode in ("dense", "lexical", "hybrid"):
        search(query, mode=mode)
    assert len(search(f"violins {query}", mode="lexical")) == 10


def test_a_query_beyond_the_window_is_flagged(search: Searcher) -> None:
    result = search("violins and bees " * 5_000, k=3)
    assert result.truncated
    assert len(result) == 3
    assert not search("violins", k=3).truncated
    assert search("violins and bees " * 5_000, k=3, per_document=1).truncated


def test_a_query_of_too_many_terms_is_flagged(search: Searcher) -> None:
    words = " ".join(f"w{number}" for number in range(1_100))
    assert search(f"violins {words}", k=3, mode="lexical").truncated
    assert not search(f"violins {words[:5_000]}", k=3, mode="lexical").truncated


def test_known_vectors_need_no_model(search: Searcher, index: Path) -> None:
    vectors = search.encode(["violins"])
    with Searcher.open(str(index), threads=1) as other:
        result = other.batch(["violins"], 3, vectors=vectors)[0]
        assert keys(result) == keys(search("violins", k=3))
        assert "load" not in result.timings_ms


@pytest.mark.parametrize(
    ("query", "arguments", "error", "told"),
    [
        ("", {}, ConfigError, "empty"),
        (" \0\n", {}, ConfigError, "empty"),
        ("x" * 100_001, {}, ConfigError, "100,001"),
        ("a\ud800", {}, InputError, "surrogate"),
        ("a", {"k": 0}, ConfigError, "k is 0"),
        ("a", {"k": 10_001}, ConfigError, "10001"),
        ("a", {"mode": "magic"}, ConfigError, "mode"),
        ("a", {"rerank": "best"}, ConfigError, "rerank"),
        ("a", {"per_document": 0}, ConfigError, "per_document"),
        ("a", {"filter": "yaer = 3"}, ConfigError, "year"),
        ("a", {"filter": 'year = "x"'}, ConfigError, "year"),
    ],
)
def test_bad_input_is_told(
    search: Searcher, query: str, arguments: dict[str, Any], error: type[CorpusmillError], told: str
) -> None:
    with pytest.raises(error) as caught:
        search(query, **arguments)
    assert told in str(caught.value)


def test_bad_vectors_are_told(search: Searcher) -> None:
    vectors = np.ones((1, search.spec.dimension), np.float32)
    with pytest.raises(ConfigError, match="NaN"):
        search.search_vectors(vectors * np.nan, 3)
    with pytest.raises(ConfigError, match="dimensions"):
        search.search_vectors(vectors[:, :5], 3)
