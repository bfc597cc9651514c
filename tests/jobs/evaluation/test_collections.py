"""`corpusmill evaluate` over several collections: built where they are not, one table, tests over all."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.evaluation.collections import compare_over_all
from jobs.evaluation.evaluate import Comparison, Evaluation, StageResult
from pipelines.judged import Dataset, Query
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.judged_questions import question, write_questions

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[3]
QUERIES = 8


def collection(folder: Path, first: int) -> Path:
    """Documents from a number on, and questions about some of them."""
    numbers = range(first, first + 5 * QUERIES, 5)
    write_questions(folder, [(question(number, f"q{number}"), number) for number in numbers])
    write_jsonl(folder / "corpus.jsonl", make_documents(40, first=first))
    return folder


def evaluate(*words: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """A process of its own: it starts a Ray to build with."""
    command = [sys.executable, "-m", "jobs", "evaluate", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=500)
    assert done.returncode == code, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two collections, and a configuration for both."""
    root = tmp_path_factory.mktemp("collections")
    settings = {
        "corpus": {"paths": ["none"]}, "index": {"path": "none"}, "chunk": {"size": 64},
        "dense": {"tune_queries": 20}, "ray": {"cpus": 2},
    }  # fmt: skip
    (root / "settings.yaml").write_text(json.dumps(settings))
    return collection(root / "one", 0), collection(root / "two", 40), root


def test_each_is_built_and_one_table_tells_of_all(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, root = folders
    words = [root / "settings.yaml", "--beir", one, "--beir", two, "--indexes", tmp_path / "built"]
    words += ["--stages", "dense,lexical,hybrid"]
    plot, runs = tmp_path / "plot.svg", tmp_path / "runs"
    found = json.loads(evaluate(*words, "--json", "--plot", plot, "--runs", runs).stdout)
    assert list(found["collections"]) == ["one", "two"]
    for stage, mean in found["means"].items():
        own = [found["collections"][name]["stages"][stage]["nDCG@10"] for name in ("one", "two")]
        assert mean == pytest.approx(np.mean(own))
    assert [(c["stage"], c["against"]) for c in found["over_collections"]] == [
        ("hybrid", "dense"), ("hybrid", "lexical"),
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "built").iterdir()} == {"one", "two"}
    chunk = json.loads((tmp_path / "built" / "one" / "versions" / "000001.json").read_text())["config"][
        "chunk"
    ]
    assert chunk["size"] == 64  # the settings hold for each
    assert "<svg" in plot.read_text() and (runs / "two" / "hybrid.txt").is_file()

    # What is built is not built again; a collection may name its index.
    named = ["--beir", one, "--beir", f"{two}={tmp_path / 'built' / 'two'}", "--indexes", tmp_path / "built"]
    lines = evaluate(root / "settings.yaml", *named, "--stages", "dense,lexical,hybrid").stdout.splitlines()
    assert lines[0].startswith("nDCG@10, 2 collections: hybrid over dense")
    assert [line.split()[0] for line in lines[2:6]] == ["collection", "one", "two", "mean"]
    assert not (tmp_path / "built" / "one" / "versions" / "000002.json").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one, _two: ["--beir", one, "--beir", one], "there twice"),
        (lambda one, two: [two, "--beir", one, "--beir", two], "is one index"),
        (lambda one, two: ["--beir", one, "--beir", f"{two}=nowhere"], "there is no index nowhere"),
        (lambda one, _two: ["--beir", one, "--beir", one.parent / "three"], "has no corpus.jsonl"),
        (lambda one, two: ["--beir", one, "--beir", two, "--split", "dev"], "no split dev"),
        (lambda _one, _two: [], "nothing says what to evaluate with"),
    ],
)
def test_wrong_words_are_told_before_the_work(
    folders: tuple[Path, Path, Path], tmp_path: Path, change: Any, told: str
) -> None:
    one, two, _ = folders
    shutil.copytree(one / "qrels", one.parent / "three" / "qrels", dirs_exist_ok=True)
    code = 1 if "corpus.jsonl" in told else 2  # an input that is wrong, or words that are
    result = evaluate(*change(one, two), "--indexes", tmp_path / "none", code=code)
    assert told in result.stderr
    assert not (tmp_path / "none").exists() or told.startswith("there is no index")


def made(name: str, values: dict[str, list[float]]) -> Evaluation:
    """An evaluation with these figures by stage and query."""
    queries = [Query(f"q{number}", "text") for number in range(len(values["dense"]))]
    found = Evaluation(Dataset(name, queries), "nDCG@10", None)
    found.stages = {
        stage: StageResult({"nDCG@10": np.array(own)}, 1.0, np.zeros(len(own), bool))
        for stage, own in values.items()
    }
    difference = np.array(values["hybrid"]) - np.array(values["dense"])
    found.comparisons = [Comparison("hybrid", "dense", "nDCG@10", float(difference.mean()), 0.001, 0.001)]
    return found


def test_collections_count_alike_whatever_their_size() -> None:
    """A large collection that loses does not outweigh a small one that wins as much."""
    large = made("large", {"dense": [0.5] * 400, "hybrid": [0.4] * 400})
    small = made("small", {"dense": [0.1] * 20, "hybrid": [0.7] * 20})
    every = compare_over_all({"large": large, "small": small})
    assert every.means() == pytest.approx({"dense": 0.3, "hybrid": 0.55})
    [over] = every.comparisons
    assert over.difference == pytest.approx(0.25) and over.significant
    # Three comparisons are corrected together: 3, 2 and 1 times.
    assert over.p_corrected >= over.p
    assert sorted(c.p_corrected for c in (*large.comparisons, *small.comparisons)) >= [0.001, 0.001]
    same = made("same", {"dense": [0.5, 0.2, 0.9], "hybrid": [0.2, 0.5, 0.9]})
    assert not compare_over_all({"same": same}).comparisons[0].significant
