"""Whole trainings on an index, by Ray Train: what comes out, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import validated
from pipelines.training import TrainConfig, mine, train
from pipelines.training.errors import TrainingFailed
from pipelines.training.examples import read_examples
from pipelines.training.running import read_metrics
from retrieval.errors import ConfigError, InputError
from retrieval.format import read_manifest
from retrieval.models.late_interaction import open_token_encoder
from retrieval.search import Searcher
from retrieval.settings import LateInteractionSettings, ModelSettings
from retrieval.storage import Store
from tests.conftest import write_jsonl
from tests.pipelines.training.trained import TOPICS
from tests.tools.samples.encoder_models import model_folder

DOCUMENTS = 48
STEPS = {
    "epochs": 6,
    "batch": 8,
    "learning_rate": 1e-3,
    "evaluations": 2,
    "frozen_layers": 0,
    "max_tokens": 48,
}


def documents() -> list[dict[str, Any]]:
    return [
        {
            "_id": f"d{number}",
            "title": f"{TOPICS[number % 8]} number {number}",
            "text": f"In year {1500 + number} people saw {TOPICS[number % 8]} by place {number * 7 % 13}. "
            f"They wrote of {TOPICS[(number + 3) % 8]} too, and of what they had for supper on day {number}.",
        }
        for number in range(DOCUMENTS)
    ]


@pytest.fixture(scope="module")
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


def config(made: Path, output: Path, **sections: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "index": {"path": str(made / "index")}, "output": str(output),
        "examples": {"beir": str(made / "beir"), "dev_share": 0.2}, "training": STEPS,
    }  # fmt: skip
    for name, section in sections.items():
        own = values.get(name)
        values[name] = {**own, **section} if isinstance(own, dict) and isinstance(section, dict) else section
    return validated(TrainConfig, values, "test")


def run(kind: str, made_config: TrainConfig) -> tuple[dict[str, Any], list[str]]:
    messages: list[str] = []
    trained = train(kind, made_config, lambda event: messages.append(event.get("message", "")))
    assert trained.changed
    return trained.outcome, messages


def test_mined_examples_are_disjoint_and_no_negative_is_relevant(made: Path, tmp_path: Path) -> None:
    found = mine(config(made, tmp_path / "out"), lambda _event: None)
    train_set, dev = (list(read_examples(Path(found[f"{name}_file"]))) for name in ("train", "dev"))
    assert len(train_set) + len(dev) == DOCUMENTS and dev
    assert not {one.group for one in train_set} & {one.group for one in dev}
    for one in train_set + dev:
        assert one.positive.doc_id == "d" + one.query_id[1:]
        assert one.answers[0] in one.positive.text
        assert one.negatives and all(one.answers[0] not in negative.text for negative in one.negatives)
        assert one.positive.doc_id not in {negative.doc_id for negative in one.negatives}
        assert [negative.rank for negative in one.negatives] == sorted(n.rank or 0 for n in one.negatives)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"questions": "beir/queries.jsonl"}, DOCUMENTS),
        ({"titles": 30}, 30),
        ({"clicks": "clicks.jsonl"}, 40),
    ],
    ids=["questions", "titles", "clicks"],
)
def test_examples_come_from_what_people_have(
    source: dict[str, Any], expected: int, made: Path, tmp_path: Path
) -> None:
    clicks = [{"query": f"click {number % 20}", "passage_id": f"d{number}#0"} for number in range(40)]
    write_jsonl(made / "clicks.jsonl", clicks)
    own = {name: str(made / value) if isinstance(value, str) else value for name, value in source.items()}
    found = mine(config(made, tmp_path / "out", examples={"beir": None, **own}), lambda _event: None)
    assert abs(found["train"] + found["dev"] - expected) <= expected * 0.1
    for one in read_examples(Path(found["train_file"])):
        if "titles" in source:  # else the passage would hold its query word for word
            assert one.positive.title == "" and all(n.title == "" for n in one.negatives)
        if "clicks" in source:
            assert len(one.relevant) == 2  # both clicks of the query


def test_both_sides_trained_make_a_better_index(
    made: Path, build: Callable[..., Any], tmp_path: Path
) -> None:
    outcome, _ = run("dpr", config(made, tmp_path / "out"))
    losses = [line["loss"] for line in read_metrics(Store(str(tmp_path / "out"))) if "loss" in line]
    assert losses[-1] < losses[0] and outcome["best"] >= outcome["untrained"]["MRR@10"]
    model = Path(outcome["models"]["name"])
    assert {path.suffix for path in model.rglob("*") if path.is_file()} <= {
        ".json",
        ".safetensors",
        ".md",
        ".txt",
    }
    assert "no title of theirs in train" in (model / "README.md").read_text()
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    build(made / "beir/corpus.jsonl", tmp_path / "index", model={"name": str(model)})
    with Searcher.open(str(tmp_path / "index")) as after, Searcher.open(str(made / "index")) as before:
        queries = [one.query for one in read_examples(tmp_path / "out/examples/dev.jsonl")]
        np.testing.assert_allclose(
            after.encode(queries), loaded.encode(queries, normalize_embeddings=True), atol=2e-2
        )
        wanted = [f"d{int(query[-5:-1]) - 1500}" for query in queries]

        def found(searcher: Searcher) -> int:
            hits = searcher.batch(queries, 3, mode="dense")
            return sum(
                name in [hit.doc_id for hit in one.hits] for name, one in zip(wanted, hits, strict=True)
            )

        assert found(after) >= found(before)
    # Nothing is done twice, and another training does not take its place.
    assert not train("dpr", config(made, tmp_path / "out"), lambda _event: None).changed
    with pytest.raises(ConfigError, match="holds another training"):
        train("dpr", config(made, tmp_path / "out", training={"epochs": 3}), lambda _event: None)


def test_a_query_tower_alone_embeds_no_passage_again(
    made: Path, build: Callable[..., Any], tmp_path: Path
) -> None:
    outcome, _ = run("dpr", config(made, tmp_path / "out", towers="query"))
    assert set(outcome["models"]) == {"query_name"}
    index = tmp_path / "index"
    shutil.copytree(made / "index", index)
    own = {"name": str(made / "m")}
    before = read_manifest(Store(str(index)))
    built = build(made / "beir/corpus.jsonl", index, model={**own, **outcome["models"]})
    assert built.changed and built.manifest.version == 2
    assert [part.vectors for part in built.manifest.parts] == [part.vectors for part in before.parts]
    assert not any("embed" in message for message in build.messages)  # type: ignore[attr-defined]
    with Searcher.open(str(index)) as searcher:
        assert searcher.manifest.model["query"] != before.model["query"]
        assert searcher("who saw rivers in 1500?", 3).hits


def test_two_towers_and_dot_product(made: Path, build: Callable[..., Any], tmp_path: Path) -> None:
    outcome, _ = run("dpr", config(made, tmp_path / "out", towers="both", similarity="dot"))
    assert set(outcome["models"]) == {"name", "query_name"}
    built = build(made / "beir/corpus.jsonl", tmp_path / "index", model=outcome["models"])
    assert built.manifest.dense["metric"] == "dot"


def test_alignment_to_the_index_needs_no_labels(made: Path, tmp_path: Path) -> None:
    student = model_folder(tmp_path / "student", seed=7)
    made_config = config(
        made, tmp_path / "out", towers="query", teacher=True, model={"name": str(student)},
        examples={"beir": None, "titles": 40}, training={"epochs": 20}, negatives={"source": "none"},
    )  # fmt: skip
    outcome, _ = run("dpr", made_config)
    assert outcome["measure"] == "cosine"
    assert outcome["best"] > outcome["untrained"]["cosine"] + 0.05


def test_colbert_of_a_smaller_width_goes_into_an_index(
    made: Path, build: Callable[..., Any], tmp_path: Path
) -> None:
    outcome, _ = run("colbert", config(made, tmp_path / "out", colbert={"width": 16, "query_tokens": 16}))
    model = outcome["models"]["name"]
    encoder = open_token_encoder(LateInteractionSettings(model=ModelSettings(name=model)), ModelSettings())
    assert encoder.dimension == 16
    build(
        made / "beir/corpus.jsonl", tmp_path / "index", model={"name": str(made / "m")},
        late_interaction={"model": {"name": model}},
    )  # fmt: skip
    with Searcher.open(str(tmp_path / "index")) as searcher:
        assert searcher("who saw rivers in 1500?", 3, rerank="late-interaction").hits


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


def test_positives_of_another_collection_are_refused(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(made / "beir", other)
    (other / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\telsewhere\t1\n")
    with pytest.raises(InputError, match="holds none of the 1 positives, such as 'elsewhere'"):
        mine(config(made, tmp_path / "out", examples={"beir": str(other)}), lambda _event: None)


def test_an_empty_split_is_refused(made: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    shutil.copytree(made / "beir", one)
    (one / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    with pytest.raises(InputError, match="the split dev is empty"):
        mine(config(made, tmp_path / "out", examples={"beir": str(one)}), lambda _event: None)


def test_metrics_and_progress_are_lines_of_json(made: Path, tmp_path: Path) -> None:
    run("dpr", config(made, tmp_path / "out", training={"epochs": 1}))
    lines = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, len(steps) + 1))
    assert {"loss", "learning_rate", "examples_per_second", "eta_seconds"} <= set(lines[1])
    assert [line["dev"]["MRR@10"] for line in lines if "dev" in line]
