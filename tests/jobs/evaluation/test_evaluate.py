"""`corpusmill evaluate` over a real index: stages, BEIR's conventions, run files, errors."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.search.searcher import Searcher
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.judged_questions import evaluate, question, write_questions

QUERIES = 12
STAGES = ["dense_exact", "dense", "lexical", "hybrid", "late_interaction"]


@pytest.fixture(scope="module")
def index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 documents, most of several passages, so that 100 passages are fewer than 100 documents."""
    root = tmp_path_factory.mktemp("evaluate")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(130))
    build(corpus, root / "index", chunk={"size": 64})
    return root / "index"


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions about documents by number; the first query's id is that of the document it would find."""
    judged = []
    for place in range(QUERIES):
        number = 3 + 10 * place
        query = question(number, f"d{number:05d}" if place == 0 else f"q{place}")
        judged.append((query | {"answers": [f"seen in {1500 + number}"]}, number))
    return write_questions(tmp_path_factory.mktemp("beir") / "notes", judged)


@pytest.fixture(scope="module")
def evaluated(
    index: Path, beir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """The report of all default stages, and the folder of the run files."""
    runs = tmp_path_factory.mktemp("runs")
    result = evaluate(index, "--beir", beir, "--runs", runs, "--json")
    return json.loads(result.stdout), runs


def read_run(path: Path) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query_id, _, doc_id, rank, score, _ = line.split()
        found.setdefault(query_id, []).append((doc_id, float(score)))
        assert int(rank) == len(found[query_id])
    return found


def test_the_report_has_the_promised_shape(evaluated: tuple[dict[str, Any], Path]) -> None:
    report, _ = evaluated
    assert (report["dataset"], report["queries"]) == ("notes", QUERIES)
    assert list(report["stages"]) == STAGES
    for values in report["stages"].values():
        assert set(values) >= {
            "nDCG@10", "R@20", "R@100", "RR@10", "answer_recall@20", "queries_per_second",
        }  # fmt: skip
        assert all(value is not None for value in values.values())
        assert values["queries_per_second"] > 0
        assert 0 <= values["RR@10"] <= 1
    pairs = {(test["stage"], test["against"]) for test in report["significance"]["comparisons"]}
    assert pairs >= {("hybrid", "dense"), ("hybrid", "lexical"), ("late_interaction", "hybrid")}
    assert report["judged_documents_in_index"] == 1.0
    # Years are words: BM25 finds every document but the one whose id is the query's own.
    assert report["stages"]["lexical"]["R@20"] == pytest.approx((QUERIES - 1) / QUERIES)
    assert report["stages"]["lexical"]["answer_recall@20"] == 1.0


def test_documents_stand_where_their_best_passage_does(
    evaluated: tuple[dict[str, Any], Path], index: Path, beir: Path
) -> None:
    _, runs = evaluated
    lines = (beir / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = {query["_id"]: query["text"] for query in map(json.loads, lines)}
    found = read_run(runs / "lexical.txt")
    assert set(found) == set(queries)
    with Searcher.open(str(index)) as searcher:
        ranking = searcher.rank(
            list(queries.values()), searcher.manifest.passages, mode="lexical", rerank="none"
        )
        names = searcher.doc_ids(ranking.ids)
    for query_id, ids in zip(queries, ranking.ids.tolist(), strict=True):
        documents = list(dict.fromkeys(names[number] for number in ids if number >= 0))
        expected = [name for name in documents if name != query_id][:100]
        assert [name for name, _ in found[query_id]] == expected
        scores = np.array([score for _, score in found[query_id]], np.float32)
        assert (np.diff(scores) < 0).all()
    assert len(found["q1"]) == 100
    assert "d00003" not in {name for name, _ in found["d00003"]}


def test_reranking_reorders_what_hybrid_found(evaluated: tuple[dict[str, Any], Path]) -> None:
    _, runs = evaluated
    hybrid, late = read_run(runs / "hybrid.txt"), read_run(runs / "late_interaction.txt")
    assert any([name for name, _ in late[query]] != [name for name, _ in hybrid[query]] for query in hybrid)
    for query, documents in hybrid.items():
        assert {name for name, _ in late[query]} == {name for name, _ in documents}


def test_the_first_line_says_what_helped(index: Path, beir: Path) -> None:
    result = evaluate(index, "--beir", beir, "--stages", "dense,lexical,hybrid")
    first = result.stdout.splitlines()[0]
    assert first.startswith(f"nDCG@10 on notes, {QUERIES} queries: ")
    assert "hybrid over dense" in first
    verdicts = ("helped:", "hurt:", "no significant difference:")
    assert any(verdict in first for verdict in verdicts)
    assert "late_interaction" not in result.stdout


def test_questions_with_answers_alone(index: Path, tmp_path: Path) -> None:
    lines = [{"question": "Which bees?", "answers": ["bees"]}, {"question": "What?", "answers": ["absent"]}]
    file = write_jsonl(tmp_path / "questions.jsonl", lines)
    report = json.loads(evaluate(index, "--queries", file, "--stages", "lexical,hybrid", "--json").stdout)
    assert report["stages"]["hybrid"]["answer_recall@20"] == 0.5
    assert report["stages"]["hybrid"]["nDCG@10"] is None
    assert report["summary"].startswith("answer_recall@20 on questions, 2 queries")


def test_a_plot_shows_every_stage(index: Path, beir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    evaluate(index, "--beir", beir, "--stages", "dense,hybrid", "--plot", tmp_path / "quality.svg")
    drawn = (tmp_path / "quality.svg").read_text(encoding="utf-8")
    assert "<!-- hybrid -->" in drawn
    assert "<!-- dense -->" in drawn


def test_errors_come_before_the_work(
    index: Path, beir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing says what to evaluate with" in evaluate(index, code=2).stderr
    both = evaluate(index, "--beir", beir, "--queries", beir / "queries.jsonl", code=2)
    assert "not both" in both.stderr
    assert "Stages: dense_exact" in evaluate(index, "--beir", beir, "--stages", "denso", code=2).stderr
    foreign = tmp_path / "foreign"
    (foreign / "qrels").mkdir(parents=True)
    write_jsonl(foreign / "queries.jsonl", [{"_id": "1", "text": "x"}])
    (foreign / "qrels" / "test.tsv").write_text("1\twiki-7\t1\n", encoding="utf-8")
    error = evaluate(index, "--beir", foreign, code=1).stderr
    assert "the index holds none of the 1 judged documents" in error
    assert "'wiki-7'" in error
    assert "'d00000'" in error
    (foreign / "qrels" / "test.tsv").write_text("1\twiki-7\t1\n1\td00004\t1\n", encoding="utf-8")
    report = json.loads(evaluate(index, "--beir", foreign, "--stages", "lexical", "--json").stdout)
    assert report["judged_documents_in_index"] == 0.5
    assert any("50.0% of the judged documents are not in the index" in text for text in report["warnings"])
    write_jsonl(foreign / "queries.jsonl", [{"_id": "1", "text": "  "}])
    assert "query '1' of foreign: the query is empty" in evaluate(index, "--beir", foreign, code=1).stderr
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = evaluate(index, "--beir", beir, "--plot", tmp_path / "a.png", code=2).stderr
    assert "pip install 'corpusmill[plot]'" in error
