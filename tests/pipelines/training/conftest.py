"""What the tests of training share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_jsonl
from tests.pipelines.training.trained import TOPICS
from tests.pipelines.training.whole import DOCUMENTS, documents
from tests.tools.samples.encoder_models import model_folder


@pytest.fixture(scope="package")
def made(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, judgements, questions, a small random model, and an index of these."""
    root = tmp_path_factory.mktemp("trained")
    corpus = write_jsonl(root / "beir/corpus.jsonl", documents())
    model_folder(root / "m")
    asked = [
        {
            "_id": f"q{number}",
            "text": f"who saw {TOPICS[number % 8]} in {1500 + number}?",
            "answers": [f"year {1500 + number}"],
        }
        for number in range(DOCUMENTS)
    ]
    write_jsonl(root / "beir/queries.jsonl", asked)
    (root / "beir/qrels").mkdir()
    lines = [f"q{number}\td{number}\t1\n" for number in range(DOCUMENTS)]
    (root / "beir/qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    build(corpus, root / "index", model={"name": str(root / "m")})
    return root
