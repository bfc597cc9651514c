"""Sends a training to a Ray cluster as a job, as a build is sent."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.commands.packaging import CONFIG_NAME
from jobs.commands.submission import Submission, absolute, is_url, send_job
from pipelines.training import TrainConfig, load_train_config
from retrieval.errors import ConfigError
from retrieval.models import is_local_folder

KINDS = ("dpr", "colbert", "rag")


def submit_training(
    config_path: Path,
    kind: str,
    address: str | None = None,
    *,
    shared_disk: bool = False,
    env: Iterable[str] = (),
) -> Submission:
    """Submit `corpusmill train KIND`; a second submission goes on from the newest checkpoint.

    Raises as `submit_build`.
    """
    if kind not in KINDS:
        raise ConfigError(f"--train is {kind!r}; it may be {', '.join(KINDS)}")
    config = training_for_cluster(load_train_config(config_path), shared_disk=shared_disk)
    options = (str(config_path), "--train", kind, *(["--shared-disk"] if shared_disk else []))
    entrypoint = f"python -m jobs train {kind} {CONFIG_NAME}"
    return send_job(config, config.output, options, address, env, entrypoint)


def training_for_cluster(config: TrainConfig, *, shared_disk: bool) -> TrainConfig:
    """The configuration as the cluster runs it. Raises ConfigError naming every setting in the way."""
    model, rag = config.model, config.rag
    named: dict[str, str | None] = {
        "index.path": config.index.path, "output": config.output, "examples.beir": config.examples.beir,
        "examples.questions": config.examples.questions, "examples.clicks": config.examples.clicks,
        "rag.build": rag.build,
        "model.name": model.name if model is not None and is_local_folder(model.name) else None,
        "rag.generator": rag.generator if rag.generator and is_local_folder(rag.generator) else None,
    }  # fmt: skip
    local = {key: path for key, path in named.items() if path is not None and not is_url(path)}
    if local and not shared_disk:
        lines = "; ".join(f"{key}: {path}" for key, path in local.items())
        raise ConfigError(
            f"the cluster's nodes cannot reach paths of this machine ({lines})",
            hint="Use s3://, gs:// or another URL for index and output; examples and models have to lie on a "
            "disk that all nodes see under the same path (NFS): then add --shared-disk.",
        )
    values: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    for key, path in local.items():
        section, _, name = key.rpartition(".")
        (values[section] if section else values)[name] = absolute(path)
    values.get("ray", {}).pop("address", None)
    return TrainConfig.model_validate(values)
