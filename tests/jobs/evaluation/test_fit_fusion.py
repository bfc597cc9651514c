"""`corpusmill evaluate --fit-fusion` over a real index: a gain is found, and chance is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.evaluation.fit_fusion import WEIGHTS, _best, _held_out
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.judged_questions import evaluate, question, write_questions

QUERIES = 60


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions by year, which the words tell and vectors hardly do."""
    judged = [(question(number, f"q{number}"), number) for number in range(QUERIES)]
    return write_questions(tmp_path_factory.mktemp("fit") / "years", judged)


@pytest.fixture(scope="module")
def lopsided(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that hardly looks at words."""
    root = tmp_path_factory.mktemp("lopsided")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(130))
    build(corpus, root / "index", chunk={"size": 64}, search={"dense_weight": 19, "lexical_weight": 1})
    return root / "index"


def test_a_real_gain_is_found_and_said_how_to_take(lopsided: Path, beir: Path) -> None:
    found = json.loads(evaluate(lopsided, "--beir", beir, "--fit-fusion", "--json").stdout)
    assert found["dense_weight_before"] == pytest.approx(0.95)
    assert found["accepted"] and found["p"] < 0.05 and found["held_out_gain"] > 0
    assert found["dense_weight"] < 0.95
    table = {row["dense_weight"]: row["nDCG@10"] for row in found["table"]}
    assert list(table) == WEIGHTS and table[found["dense_weight"]] == max(table.values())
    # The ends of the table are the halves, by the figures that an evaluation gives.
    stages = json.loads(evaluate(lopsided, "--beir", beir, "--stages", "dense,lexical", "--json").stdout)[
        "stages"
    ]
    assert table[1.0] == pytest.approx(stages["dense"]["nDCG@10"], abs=1e-4)
    assert table[0.0] == pytest.approx(stages["lexical"]["nDCG@10"], abs=1e-4)
    lines = evaluate(lopsided, "--beir", beir, "--fit-fusion").stdout
    lexical = round(1 - found["dense_weight"], 2)
    assert f"search: {{dense_weight: {found['dense_weight']:g}, lexical_weight: {lexical:g}}}" in lines


def test_too_few_queries_and_several_collections_are_refused(lopsided: Path, beir: Path) -> None:
    few = evaluate(lopsided, "--beir", beir, "--fit-fusion", "--sample", 20, code=2)
    assert "20 judged queries are too few" in few.stderr and "50" in few.stderr
    both = evaluate("--beir", beir, "--beir", f"{beir}2=x", "--fit-fusion", code=2)
    assert "fitted to one collection" in both.stderr


def test_what_chance_gives_is_not_taken_for_a_gain() -> None:
    """Values without any relation to the weights: the best of 21 looks better and is not."""
    random = np.random.default_rng(0)
    values = random.random((len(WEIGHTS), 200))
    before = random.random(200)
    best = _best(values.mean(axis=1).tolist(), 0.5)
    assert values[WEIGHTS.index(best)].mean() > before.mean()
    assert abs(_held_out(values, before).mean()) < 0.08
    assert _best([1.0] * len(WEIGHTS), 0.5) == 0.5  # equal ones: that in use
