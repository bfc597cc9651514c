"""One worker of a training: it opens the method and runs the loop. Ray Train starts as many as are asked."""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipelines.training.examples import TRAIN, ExampleFile, local_copy
from pipelines.training.export import OUTCOME, export
from pipelines.training.index_model import index_model
from pipelines.training.methods import device_of, open_method
from pipelines.training.running import Checkpoints, Loop, Metrics, World
from pipelines.training.settings import TrainConfig
from retrieval.storage import Store


def train_worker(kind: str, config: TrainConfig, threads: int) -> dict[str, Any]:
    """Train to the end, from the newest checkpoint, and export the best: what came out, as JSON.

    It is the same in every worker of torch.distributed, or in one process without any.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(config.training.seed)
    world, output = World(device_of(config)), Store(config.output)
    manifest, embedding = index_model(config)
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as name:
        folder = Path(name)
        method = open_method(kind, config, manifest.dense["metric"], embedding, folder)
        checkpoints = Checkpoints(output)
        examples = ExampleFile(local_copy(output, TRAIN, folder))
        loop = Loop(
            method, examples, config.training, checkpoints, lambda _values: None, world, world.device,
            partial(_rate_share, kind, config),
        )  # fmt: skip
        if world.rank == 0:
            metrics = Metrics(output, loop.state.step)
            loop.report = metrics
        loop.run()
        outcome = loop.outcome()
        if world.rank == 0:
            metrics.write()
            loop.take_best()
            outcome |= export(method, config, kind, manifest, outcome, folder)
            output.put_json(OUTCOME, outcome)
    return outcome


def _rate_share(kind: str, config: TrainConfig, parameter: str) -> float:
    return config.rag.query_rate if kind == "rag" and parameter.startswith("query.") else 1.0


def ray_worker(values: dict[str, Any]) -> None:
    """As Ray Train calls it."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    train_worker(values["kind"], values["config"], values["threads"])
