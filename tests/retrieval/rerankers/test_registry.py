"""A re-ranker is one file: choices, reference, errors and searches follow from it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

import retrieval
from jobs.cli import app
from retrieval.rerankers.registry import RERANKERS
from retrieval.search.searcher import Searcher
from retrieval.settings import SearchSettings
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.encoder_models import model_folder

TOY = """
import numpy as np
from retrieval.rerankers.reranker import Reranker

def rank(found):
    texts = found.passages(found.ids)
    long = {number: len(passage.text) for number, passage in texts.items()}
    return np.array([[long.get(number, -np.inf) for number in row] for row in found.ids.tolist()], np.float32)

TOY = Reranker("the-longest", "long passages first", rank)
"""
TRY = """
import sys
from pydantic import ValidationError
from retrieval.settings import SearchSettings
assert "torch" not in sys.modules
from retrieval.search import Searcher

described = SearchSettings.model_json_schema()["properties"]["rerank"]
assert "the-longest" in described["enum"] and "the-longest: long passages first." in described["description"]
try:
    SearchSettings(rerank="oracle")
except ValidationError as error:
    assert "'the-longest'" in str(error)
with Searcher.open(sys.argv[1]) as search:
    hits = search("glaciers", 5, rerank="the-longest", settings=SearchSettings(rerank_fusion="replace")).hits
    lengths = [len(hit.text) for hit in hits]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) > 1, lengths
    assert all(hit.stages["the_longest"].score == size for hit, size in zip(hits, lengths))
    print("found")
"""


@pytest.fixture(scope="module")
def index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reranked")
    build(
        write_jsonl(root / "corpus.jsonl", make_documents(12)), root / "index", dense={"type": "flat"},
        model={"name": str(model_folder(root / "embedding"))},
    )  # fmt: skip
    return root / "index"


def test_another_file_is_another_reranker(index: Path, tmp_path: Path) -> None:
    """In a copy of the package with one file more."""
    source = Path(retrieval.__file__).parent
    shutil.copytree(source, tmp_path / "retrieval", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "retrieval" / "rerankers" / "the_longest.py").write_text(TOY)
    command = [sys.executable, "-c", TRY, str(index)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "found", done.stderr


def test_choices_are_those_of_the_rerankers(index: Path) -> None:
    described = SearchSettings.model_json_schema()["properties"]["rerank"]
    assert described["enum"] == list(RERANKERS) == ["none", "late-interaction", "cross-encoder"]
    with pytest.raises(ValidationError, match="'none', 'late-interaction' or 'cross-encoder'"):
        SearchSettings.model_validate({"rerank": "oracle"})
    told = CliRunner().invoke(app, ["search", str(index), "glaciers", "--rerank", "oracle"])
    assert told.exit_code != 0 and all(name in told.output for name in RERANKERS)
    with Searcher.open(str(index)) as search, pytest.raises(Exception, match="one of none, late-interaction"):
        search("glaciers", rerank="oracle")
