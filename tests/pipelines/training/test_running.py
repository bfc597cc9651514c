"""Workers, metrics, and an index that is made anew meanwhile."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from pipelines.training import train
from pipelines.training.running import read_metrics
from retrieval.format import read_manifest
from retrieval.generation.generators import LocalGenerator
from retrieval.storage import Store
from tests.pipelines.training.trained import generator
from tests.pipelines.training.whole import config, run


def test_metrics_and_progress_are_lines_of_json(made: Path, tmp_path: Path) -> None:
    run("dpr", config(made, tmp_path / "out", training={"epochs": 1}))
    lines = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, len(steps) + 1))
    assert {"loss", "learning_rate", "examples_per_second", "eta_seconds"} <= set(lines[1])
    assert [line["dev"]["MRR@10"] for line in lines if "dev" in line]


def test_two_workers_share_the_batches(made: Path, tmp_path: Path) -> None:
    """The measures are those of one worker, up to rounding in a few steps."""
    steps = {"steps": 4, "evaluations": 1}
    alone, _ = run("dpr", config(made, tmp_path / "one", training=steps))
    both, _ = run("dpr", config(made, tmp_path / "two", training=steps, ray={"workers": 2}))
    losses = [
        [line["loss"] for line in read_metrics(Store(str(tmp_path / name))) if "loss" in line]
        for name in ("one", "two")
    ]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-4)
    assert both["best"] == pytest.approx(alone["best"], abs=1e-6)


@pytest.mark.slow
def test_a_killed_worker_is_started_again_and_goes_on(made: Path, tmp_path: Path) -> None:
    """By its id, once a checkpoint is there; what comes out is what an undisturbed training gives."""
    steps = {"steps": 60, "evaluations": 1, "checkpoint_steps": 10}
    calm, _ = run("dpr", config(made, tmp_path / "calm", training=steps))
    output, killed = tmp_path / "out", []

    def listen(event: dict[str, Any]) -> None:
        if not killed and any(output.glob("checkpoints/*/state.json")):
            for process in psutil.process_iter(["name", "cmdline"]):
                if "RayTrainWorker" in " ".join(process.info["cmdline"] or []):
                    killed.append(process.pid)
                    process.kill()

    trained = train("dpr", config(made, output, training=steps), listen)
    assert killed
    assert trained.outcome["best"] == pytest.approx(calm["best"], abs=1e-6)
    lines = [line["step"] for line in read_metrics(Store(str(output))) if "loss" in line]
    assert lines == sorted(set(lines)) and lines[-1] == 60


def test_rag_trains_both_and_makes_the_index_anew_meanwhile(
    made: Path, build: Callable[..., Any], tmp_path: Path
) -> None:
    index, own = tmp_path / "index", {"name": str(made / "m")}
    build(made / "beir/corpus.jsonl", index, model=own)
    settings = {
        "corpus": {"paths": [str(made / "beir/corpus.jsonl")]}, "index": {"path": str(index)}, "model": own,
        "dense": {"tune_queries": 20},
    }  # fmt: skip
    (tmp_path / "build.yaml").write_text(yaml.safe_dump(settings))
    rag = {
        "generator": str(generator(tmp_path / "g", "causal")), "passages": 2, "lora_rank": 2, "refresh": 2,
        "build": str(tmp_path / "build.yaml"),
    }  # fmt: skip
    asked = config(
        made, tmp_path / "out", towers="query", rag=rag, examples={"most_dev": 3},
        index={"path": str(index)}, training={"steps": 5, "batch": 2, "evaluations": 1},
    )  # fmt: skip
    outcome, _ = run("rag", asked)
    assert set(outcome["models"]) == {"query_name", "generator"}
    manifest = read_manifest(Store(str(index)))
    assert manifest.version >= 2 and "refresh" in manifest.model["query"]["name"]
    # Answers are written by it, over the index with its query encoder.
    build(made / "beir/corpus.jsonl", index, model={**own, "query_name": outcome["models"]["query_name"]})
    assert LocalGenerator.open(outcome["models"]["generator"]).count_tokens("rivers") == 1
