"""The build tells from queries how much each half is to be trusted, and says why; else weights stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.stages.fitting.fusion_weights import (
    EVEN,
    WEIGHTS,
    Bests,
    confirmation,
    known_item_success,
    weights_of,
)
from retrieval.format import read_manifest
from retrieval.search import Searcher
from retrieval.storage import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.encoder_models import model_folder
from tests.tools.samples.judged_questions import question

RANDOM = np.random.default_rng(0)


def test_confirmation_is_what_the_other_half_gives_of_its_best() -> None:
    # Dense finds 0.8 of which BM25 gives 5 of its 10; BM25 finds 10 of which dense gives 0.4 above 0.2.
    dense = np.array([[0.8, 5.0], [0.8, -np.inf], [-np.inf, 3.0], [0.1, 2.0]])
    lexical = np.array([[0.4, 10.0], [0.8, 10.0], [0.3, 4.0], [0.1, 2.0]])
    low = np.full(4, 0.2)
    found = confirmation(dense, lexical, low)
    assert found == pytest.approx([5 / 10 - 0.2 / 0.6, 0.0 - 1.0])  # two queries find nothing in a half


@pytest.mark.parametrize(
    ("mean", "spread", "queries", "weight"),
    [
        (EVEN, 0.3, 500, None), (EVEN + 0.02, 0.3, 500, None), (EVEN + 0.1, 0.3, 500, 0.65),
        (EVEN - 0.06, 0.3, 500, 0.41), (EVEN + 0.9, 0.3, 500, WEIGHTS[1]), (EVEN - 0.9, 0.3, 500, WEIGHTS[0]),
        (EVEN + 0.1, 0.3, 49, None),
    ],
)  # fmt: skip
def test_weights_go_with_it_where_it_is_sure(
    mean: float, spread: float, queries: int, weight: float | None
) -> None:
    values = RANDOM.standard_normal(queries)
    values = mean + spread * (values - values.mean()) / values.std()
    found = weights_of((0.9, 1.0), 200, values)
    assert found["fitted"] == (weight is not None)
    assert found["reason"]
    if weight is not None:
        assert found["dense_weight"] == pytest.approx(weight, abs=0.011)
        assert found["dense_weight"] + found["lexical_weight"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("success", "sentences", "weight"),
    [
        ((0.0, 1.0), 200, 0.1), ((0.3, 1.0), 200, 0.25), ((0.39, 0.99), 200, 0.3), ((0.5, 1.0), 200, None),
        ((0.9, 0.2), 200, 0.79), ((0.0, 0.0), 200, None), ((0.0, 1.0), 49, None),
    ],
)  # fmt: skip
def test_a_half_that_fails_gets_little(
    success: tuple[float, float], sentences: int, weight: float | None
) -> None:
    """Also where queries are given: garbage confirms nothing, and is confirmed a little by chance."""
    values = RANDOM.standard_normal(300)
    found = weights_of(success, sentences, EVEN + values - values.mean())
    assert found.get("dense_weight") == (weight if weight is None else pytest.approx(weight))


def test_success_is_of_the_sentences_alone() -> None:
    dense, lexical = np.array([[0.9, 0.0], [0.8, 0.0], [0.1, 0]]), np.array([[0.0, 5.0], [0.0, 4.0], [0, 1]])
    bests = Bests(dense, lexical, own=np.array([[0.9, 5.0], [0.7, 4.0]]))
    assert known_item_success(bests) == (0.5, 1.0)
    other = Bests(dense - 0.05, lexical + 1, own=np.array([[-np.inf, -np.inf], [0.75, 5.0]]))
    assert known_item_success(bests.merged(other)) == (0.5, 0.5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Documents, and a file of 60 questions about them."""
    root = tmp_path_factory.mktemp("weights")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(120))
    queries = write_jsonl(
        root / "queries.jsonl", [question(number, f"q{number}") for number in range(0, 120, 2)]
    )
    return corpus, queries


@pytest.mark.parametrize("given", [False, True])
def test_an_encoder_that_knows_nothing_gets_less(
    build: Callable[..., Any], corpus: tuple[Path, Path], tmp_path: Path, given: bool
) -> None:
    """One of random weights, over several shards; the weights are those that a search uses."""
    sections = {
        "model": {"name": str(model_folder(tmp_path / "random"))},
        "dense": {"tune_queries": 60} | ({"query_file": str(corpus[1])} if given else {}),
        "index": {"part_passages": 100, "shard_passages": 200},
    }
    manifest = build(corpus[0], tmp_path / "index", **sections).manifest
    assert len(manifest.shards) > 1
    assert manifest.fusion["fitted"]
    assert manifest.fusion["found_by_dense"] < 0.5 < manifest.fusion["found_by_lexical"]
    assert manifest.fusion["dense_weight"] < WEIGHTS[0]
    assert any("dense search finds" in message for message in build.messages)
    assert {cost.stage for cost in manifest.costs} >= {"weigh", "verify"}
    with Searcher.open(str(tmp_path / "index")) as searcher:
        assert searcher.settings.dense_weight == manifest.fusion["dense_weight"]
        found = searcher("Which bees were seen in 1504?", explain=True)
        weight = manifest.fusion["lexical_weight"]
        assert found.hits[0].explanation.signals["lexical"].weight == pytest.approx(weight)
    assert not build(corpus[0], tmp_path / "index", **sections).changed


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({}, "gives 0 queries"),
        ({"search": {"dense_weight": 2}}, "sets the weights"),
        ({"search": {"lexical_weight": 1.0}}, "sets the weights"),
        ({"search": {"fusion": "rrf"}}, "rrf"),
        ({"lexical": {"enabled": False}}, "no lexical"),
    ],
)
def test_weights_stay_where_nothing_tells(
    build: Callable[..., Any],
    corpus: tuple[Path, Path],
    tmp_path: Path,
    sections: dict[str, Any],
    reason: str,
) -> None:
    given = {"dense": {"query_file": str(corpus[1])}} if sections else {}
    manifest = build(corpus[0], tmp_path / "index", **given, **sections).manifest
    assert manifest == read_manifest(Store(str(tmp_path / "index")), manifest.version)
    assert not manifest.fusion["fitted"]
    assert reason in manifest.fusion["reason"]
    assert manifest.search["dense_weight"] == sections.get("search", {}).get("dense_weight", 1.0)
