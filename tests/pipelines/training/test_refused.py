"""What a training refuses, and what it says."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.training import mine, train
from pipelines.training.errors import TrainingFailed
from retrieval.errors import ConfigError, InputError, ModelError
from tests.pipelines.training.whole import config


@pytest.mark.parametrize(
    ("sections", "kind", "error", "message"),
    [
        ({"examples": {"dev_split": "dev"}}, "dpr", ConfigError, "has no split dev"),
        ({"colbert": {"width": 64}}, "colbert", ConfigError, "colbert.width is 64, and the encoder has 32"),
        ({"training": {"frozen_layers": 9}}, "dpr", ConfigError, "the model has 2 layers"),
        ({"ray": {"workers": 99}}, "dpr", ConfigError, "99 workers need 99 CPUs"),
        ({"training": {"batch": 65_536, "max_tokens": 8192}}, "dpr", ConfigError, "GB are free"),
        ({"examples": {"beir": None, "titles": 30}}, "rag", TrainingFailed, "no dev example has an answer"),
    ],
    ids=["split", "width", "layers", "workers", "memory", "answers"],
)
def test_what_cannot_be_is_said(
    sections: dict[str, Any], kind: str, error: type[Exception], message: str, made: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(kind, config(made, tmp_path / "out", **sections), lambda _event: None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q1\telsewhere\t1", "holds none of the 1 positives, such as 'elsewhere'"),
        ("q1\td1\t1", "the split dev is empty"),
    ],
    ids=["another collection", "too few"],
)
def test_judgements_that_give_no_examples_are_refused(
    row: str, message: str, made: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(made / "beir", other)
    (other / "qrels/train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    with pytest.raises(InputError, match=message):
        mine(config(made, tmp_path / "out", examples={"beir": str(other)}), lambda _event: None)


def test_a_model_without_a_tokenizer_is_refused(made: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(made / "m", bare)
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        train("dpr", config(made, tmp_path / "out", model={"name": str(bare)}), lambda _event: None)


def test_titles_for_a_query_tower_are_told_to_be_in_the_vectors(made: Path, tmp_path: Path) -> None:
    told: list[str] = []
    asked = config(
        made, tmp_path / "out", towers="query", examples={"beir": None, "titles": 30}, ray={"workers": 99}
    )
    with pytest.raises(ConfigError, match="99 workers"):
        train("dpr", asked, lambda event: told.append(event.get("message", "")))
    assert any("each holds its query" in text for text in told)
