"""Whole trainings on an index, by Ray Train: what comes out of each kind."""

import json
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.training import mine, train
from pipelines.training.examples import read_examples
from pipelines.training.models import LateEncoder
from pipelines.training.running import read_metrics
from retrieval.errors import ConfigError
from retrieval.format import read_manifest
from retrieval.models.late_interaction import open_token_encoder
from retrieval.search import Searcher
from retrieval.settings import LateInteractionSettings, ModelSettings
from retrieval.storage import Store
from tests.conftest import write_jsonl
from tests.pipelines.training.whole import DOCUMENTS, config, run
from tests.tools.samples.encoder_models import model_folder
from tests.tools.samples.late_models import LAYOUTS


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
    mine(config(made, tmp_path / "out"), lambda _event: None)  # looked at first, as people do
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
    outcome, messages = run("dpr", made_config)
    assert outcome["measure"] == "cosine"
    assert not any("each holds its query" in message for message in messages)  # titles are no labels here
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


@pytest.mark.parametrize("begin", ["bare", "expanding", *sorted(LAYOUTS)])
def test_a_colbert_export_has_the_layout_that_pylate_reads(begin: str, tmp_path: Path) -> None:
    """As PyLate writes it; benchmarks/search/pylate_export.py shows that PyLate gives the same vectors."""
    bare = begin in ("bare", "expanding")
    folder = model_folder(tmp_path / "m") if bare else LAYOUTS[begin](tmp_path / "m").folder
    encoder = LateEncoder(
        ModelSettings(name=str(folder)), width=16, query_tokens=16, passage_tokens=40,
        expansion=begin != "bare", frozen_layers=0, texts=["rivers, and bees.", "violins; chess"],
    )  # fmt: skip
    encoder.save(tmp_path / "out")
    settings = json.loads((tmp_path / "out/config_sentence_transformers.json").read_text())
    modules = [one["type"] for one in json.loads((tmp_path / "out/modules.json").read_text())]
    if begin == "native":  # its prompts are texts, and PyLate's are tokens
        assert settings["model_type"] == "MultiVectorEncoder" and len(modules) == 4
    else:
        assert modules == ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
        assert settings["model_type"] == "ColBERT"
        assert settings["do_query_expansion"] == (begin != "bare")
        assert (settings["query_length"], settings["document_length"]) == (16, 40)
        assert settings["query_prefix"] == ("" if bare else "[unused0]")
        assert settings["skiplist_words"] == list(string.punctuation)
    loaded = open_token_encoder(
        LateInteractionSettings(model=ModelSettings(name=str(tmp_path / "out"), dtype="float32")),
        ModelSettings(),
    )
    texts = ["rivers, seen in 1500: where?", "bees"]
    passages = list(loaded.encode_passages(["", ""], texts))
    with torch.no_grad():
        for texts_of, side in ((list(loaded.encode_queries(texts)), "query"), (passages, "passage")):
            prompts = encoder.model.prompts.get("query" if side == "query" else "document") or ""
            vectors, mask = encoder([prompts + text for text in texts], side)  # type: ignore[arg-type]
            for row, found in enumerate(texts_of):
                np.testing.assert_allclose(found, vectors[row][mask[row]].numpy(), atol=1e-5)
