"""Before and after on the same queries; what a model was trained with does not decide."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.training import SEEN
from tests.conftest import write_jsonl
from tests.tools.samples.encoder_models import model_folder
from tests.tools.samples.judged_questions import evaluate

COUNT = 12


@pytest.fixture(scope="module")
def made(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index in two versions, by two random models, of which the second has seen some positives."""
    root = tmp_path_factory.mktemp("compared")
    topics = ["rivers", "bread", "glaciers", "chess"]
    texts = [f"number {number} is about {topics[number % 4]}" for number in range(COUNT)]
    documents = [
        {"_id": f"d{number}", "title": f"Title {number}", "text": text} for number, text in enumerate(texts)
    ]
    corpus = write_jsonl(root / "beir/corpus.jsonl", documents)
    write_jsonl(
        root / "beir/queries.jsonl",
        [{"_id": f"q{n}", "text": text, "answers": [f"number {n}"]} for n, text in enumerate(texts)],
    )
    (root / "beir/qrels").mkdir()
    rows = "".join(f"q{number}\td{number}\t1\n" for number in range(COUNT))
    (root / "beir/qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    model_folder(root / "before")
    trained = model_folder(root / "after", seed=3)
    (trained / SEEN).write_text("# title\n" + "".join(f"Title {number}\n" for number in range(5)))
    build(corpus, root / "index", model={"name": str(root / "before")})
    build(corpus, root / "index", model={"name": str(trained)})
    return root


def test_versions_are_compared_and_unseen_positives_decide(made: Path) -> None:
    words = ["--beir", made / "beir", "--stages", "dense,lexical", "--json"]
    found = json.loads(evaluate(made / "index", "--compare", 1, 2, *words).stdout)
    before, after = found["compared"].values()
    for one in (before, after):  # both are measured on the same queries, though only one model has seen some
        assert {name: part["queries"] for name, part in one["positives"].items()} == {
            "unseen": COUNT - 5, "seen": 5, "all": COUNT,
        }  # fmt: skip
    differences = {(one["stage"], one["measure"]): one for one in found["differences"]["version 2"]}
    own = differences["dense", "nDCG@10"]
    parts = [one["positives"]["unseen"]["stages"]["dense"] for one in (before, after)]
    assert own["difference"] == pytest.approx(parts[1] - parts[0], abs=1e-6)
    assert after["stages"]["dense"]["nDCG@10"] == pytest.approx(parts[1])
    lexical = [one for (stage, _), one in differences.items() if stage == "lexical"]
    assert {one["difference"] for one in lexical} == {0.0}
    assert {one["measure"] for one in lexical} == {"nDCG@10", "answer_recall@5", "answer_RR@10"}


def test_one_index_parts_its_figures_too(made: Path) -> None:
    found = json.loads(
        evaluate(made / "index", "--beir", made / "beir", "--stages", "dense", "--json").stdout
    )
    assert "7 of 12 queries whose positives no model was trained with" in found["summary"]
    weights = [part["queries"] for part in found["positives"].values()]
    values = [part["stages"]["dense"] for part in found["positives"].values()]
    assert values[2] == pytest.approx(np.average(values[:2], weights=weights[:2]))


def test_other_indexes_can_be_named(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "index", tmp_path / "other")
    words = ["--beir", made / "beir", "--stages", "dense"]
    text = evaluate(made / "index", "--compare", 1, tmp_path / "other", *words).stdout
    assert "unseen" in text and "version 1" in text and "p, Holm" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--compare", "1"], "needs two or more"),
        (["--compare", "1", "1"], "names one twice"),
        (["2"], "is named too"),
    ],
)
def test_what_cannot_be_compared_is_said(words: list[str], message: str, made: Path) -> None:
    assert message in evaluate(made / "index", *words, "--beir", made / "beir", code=2).output
