"""MTEB's own evaluator, through its search protocol, gives the figures that `corpusmill evaluate` gives."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.models_protocols import SearchProtocol

from jobs.evaluation.evaluate import evaluate
from jobs.evaluation.stages import STAGES
from pipelines.judged import read_beir
from retrieval.search import Searcher
from retrieval.storage import Store
from tests.conftest import make_documents
from tests.tools.samples.judged_questions import question, write_questions

EXAMPLE = Path(__file__).parents[3] / "examples" / "mteb_search.py"
SAME = {"nDCG@10": "ndcg_at_10", "R@20": "recall_at_20", "R@100": "recall_at_100", "RR@10": "mrr_at_10"}
FIRST = make_documents(60)
# Every question has one relevant document, and one that looks like it.
JUDGED = [(question(number, f"q{number}"), number + (number % 3 == 0)) for number in range(2, 60, 4)]


class Local(AbsTaskRetrieval):
    """A task whose data lies here."""

    metadata = TaskMetadata(
        name="Local", description="Notes", dataset={"path": "local", "revision": "1"}, type="Retrieval",
        eval_langs=["eng-Latn"], main_score="ndcg_at_10",
    )  # fmt: skip

    def load_data(self, *_: Any, **__: Any) -> None:
        corpus = [{"id": one["_id"], "title": one["title"], "text": one["text"]} for one in FIRST]
        queries = [{"id": query["_id"], "text": query["text"]} for query, _ in JUDGED]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(corpus),
                    "queries": Dataset.from_list(queries),
                    "relevant_docs": {query["_id"]: {f"d{number:05d}": 1} for query, number in JUDGED},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("mteb_search", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("stage", ["dense", "lexical", "hybrid", "late_interaction"])
def test_figures_are_the_same(
    ray_session: None, example: Any, stage: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.getbasetemp() / "mteb"
    model = example.CorpusmillSearch(root, stage, {"dense": {"tune_queries": 20}, "chunk": {"size": 64}})
    assert isinstance(model, SearchProtocol)
    theirs = Local().evaluate(model, encode_kwargs={})["default"]
    folder = root / "questions"
    beir = read_beir(folder if folder.is_dir() else write_questions(folder, JUDGED))
    with Searcher.open(model.path) as searcher:
        stages = [one for one in STAGES if one.name == stage]
        ours = evaluate(
            searcher, Store(model.path), beir, stages, say=lambda _: None, progress=lambda *_: None
        )
    for name, measure in SAME.items():
        assert ours.stages[stage].mean(name) == pytest.approx(theirs[measure], abs=5e-5), name
    assert 0 < theirs["ndcg_at_10"] < 1
