"""A training from top to bottom: examples, workers, model. The same call goes on where one stopped."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import ray

from pipelines.config import RaySettings
from pipelines.runtime import connected, counted
from pipelines.training.errors import TrainingFailed
from pipelines.training.examples import DEV, TRAIN, local_copy, prepare, read_examples
from pipelines.training.export import OUTCOME
from pipelines.training.foresight import check_memory
from pipelines.training.index_model import index_model
from pipelines.training.methods import make_bank
from pipelines.training.running import PROGRESS
from pipelines.training.settings import TrainConfig
from pipelines.training.worker import ray_worker
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.search import Searcher
from retrieval.settings import fingerprint
from retrieval.storage import Store

_POLL_SECONDS = 1.0
_TITLES_KNOWN = (
    "The stored vectors were made with the titles, so each holds its query, and little is left to learn: "
    "towers: shared takes the titles off."
)
_CLAIM, _PREPARED = "training.json", "examples/complete.json"
Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Trained:
    """`outcome`: measures before and after, where the models lie, and what to write into a configuration."""

    outcome: dict[str, Any]
    changed: bool  # whether this call did anything


def mine(config: TrainConfig, listener: Listener) -> dict[str, Any]:
    """Write the examples with their negatives to `examples/` of the output; what there is, as JSON."""
    output = Store(config.output)
    with _searcher(config) as searcher:
        index = Store(config.index.path, config.index.storage_options)
        found = prepare(config, searcher, index, output, _mining(listener), _saying(listener))
    return {**found.as_json(), "train_file": output.path(TRAIN), "dev_file": output.path(DEV)}


def train(kind: str, config: TrainConfig, listener: Listener) -> Trained:
    """Train "dpr", "colbert" or "rag", or go on. Raises CorpusmillError of the kind that went wrong."""
    output = Store(config.output)
    _claim(kind, config, output)
    if (done := output.read_json(OUTCOME)) is not None:
        return Trained(done, changed=False)
    if not output.exists(_PREPARED):  # what `mine` left may be of other settings, and has no bank
        _prepare(kind, config, output, listener)
        output.put_json(_PREPARED, True)
    check_memory(kind, config, index_model(config)[1])
    with connected(RaySettings(address=config.ray.address)):
        _run(kind, config, output, listener)
    outcome = output.read_json(OUTCOME)
    if outcome is None:
        raise TrainingFailed("the training ended without a model", hint="Run the same command again.")
    return Trained(outcome, changed=True)


def _searcher(config: TrainConfig) -> Searcher:
    place = config.index
    return Searcher.open(place.path, options=place.storage_options, version=place.version)


def _prepare(kind: str, config: TrainConfig, output: Store, listener: Listener) -> None:
    with _searcher(config) as searcher:
        index = Store(config.index.path, config.index.storage_options)
        prepare(config, searcher, index, output, _mining(listener), _saying(listener))
        if kind == "dpr" and config.towers == "query":
            if config.examples.titles is not None and not config.teacher:
                listener({"message": _TITLES_KNOWN})
            with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
                files = [local_copy(output, key, Path(folder)) for key in (TRAIN, DEV)]
                every = chain.from_iterable(map(read_examples, files))
                steps = config.training
                make_bank(searcher, every, steps.bank, steps.seed, output)


def _claim(kind: str, config: TrainConfig, output: Store) -> None:
    """One output holds one training. Raises ConfigError where it holds another."""
    own = config.model_dump(mode="json", exclude={"ray", "output"})
    inputs = {
        name: hashlib.sha256(Path(value).read_bytes()).hexdigest()
        for name in ("questions", "clicks")
        if (value := getattr(config.examples, name)) is not None and Path(value).is_file()
    }
    claim = {"kind": kind, "fingerprint": fingerprint(kind, own, inputs)}
    known = output.read_json(_CLAIM)
    if known is not None and known != claim:
        raise ConfigError(
            f"{output.url} holds another training, of other settings or examples",
            hint="Name another output, or remove that one.",
        )
    output.put_json(_CLAIM, claim)


def _run(kind: str, config: TrainConfig, output: Store, listener: Listener) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    own = config.ray
    there = ray.cluster_resources()
    wanted = {"CPU": own.cpus * own.workers, "GPU": own.gpus * own.workers}
    for name, count in wanted.items():
        if count > there.get(name, 0):
            raise ConfigError(
                f"{own.workers} workers need {count:g} {name}s, and the cluster has {there.get(name, 0):g}",
                hint="Lower ray.workers, ray.cpus or ray.gpus.",
            )
    threads = own.threads or max(1, (os.cpu_count() or 1) // own.workers)
    listener(
        {"message": f"Training {kind} with {counted(own.workers, 'worker')} of {counted(threads, 'thread')}."}
    )
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(output, listener, done), daemon=True)
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
        trainer = TorchTrainer(
            ray_worker,
            train_loop_config={"kind": kind, "config": config, "threads": threads},
            scaling_config=ScalingConfig(
                num_workers=own.workers, use_gpu=own.gpus > 0,
                resources_per_worker={"CPU": own.cpus} | ({"GPU": own.gpus} if own.gpus else {}),
            ),
            run_config=RunConfig(
                storage_path=folder, failure_config=FailureConfig(max_failures=own.retries)
            ),
        )  # fmt: skip
        watcher.start()
        try:
            trainer.fit()
        except Exception as error:
            raise _cause(error) from error
        finally:
            done.set()
            watcher.join()


def _cause(error: BaseException) -> CorpusmillError:
    """What went wrong in a worker, out of Ray's wrapping."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, CorpusmillError):
            return seen
        for inner in getattr(seen, "worker_failures", {}).values():
            found = _cause(inner)
            if not isinstance(found, TrainingFailed) or found.message != "workers failed":
                return found
        seen = getattr(seen, "cause", None) or seen.__cause__
    reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return TrainingFailed(f"a worker failed: {reason[0]}", hint="Run the same command to go on.")


def _watch(output: Store, listener: Listener, done: threading.Event) -> None:
    """Tell of progress while workers run."""
    known: Any = None
    while not done.wait(_POLL_SECONDS):
        try:
            found = output.read_json(PROGRESS)
        except (CorpusmillError, OSError):
            continue  # it is told the next time
        if found is not None and found != known:
            known = found
            listener({"progress": found})


def _mining(listener: Listener) -> Callable[[int, int], None]:
    return lambda done, total: listener({"mining": (done, total)})


def _saying(listener: Listener) -> Callable[[str], None]:
    return lambda text: listener({"message": text})
