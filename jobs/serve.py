"""A service on this machine: Ray, Ray Serve and the application, until it is interrupted."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import yaml
from pydantic import ValidationError
from ray import serve

from retrieval.errors import ConfigError, CorpusmillError
from retrieval.serve.access import Keys, is_loopback
from retrieval.serve.ingress import build
from retrieval.serve.settings import ServeSettings

APPLICATION = "corpusmill"
OBJECT_STORE_BYTES = 200_000_000  # a service passes small arrays


def read_settings(index: str | None, config: Path | None) -> ServeSettings:
    """Settings of a file in the form of `serve deploy`'s, the index taken from the command line if given.

    Raises ConfigError.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values = _arguments(config)
    if index is not None:
        values["index"] = index
    try:
        return ServeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ConfigError(f"{config or 'the command line'}: {place}: {first['msg']}") from error


def _arguments(config: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{config} cannot be read: {error}") from error
    if isinstance(found, dict) and "applications" in found:
        found = found["applications"][0].get("args", {})
    if not isinstance(found, dict):
        raise ConfigError(f"{config} holds no settings", hint="See deploy/serve.yaml.")
    return found


@contextmanager
def running(settings: ServeSettings, host: str, port: int) -> Iterator[str]:
    """The service, ready; its address. Raises CorpusmillError where it cannot be made ready."""
    if not is_loopback(host) and not Keys.read(settings.access):
        raise ConfigError(
            f"without keys the service listens on this machine only, not on {host}",
            hint="Make a key: corpusmill key search, or leave --host out.",
        )
    application = build(settings.model_dump())
    _start_ray()
    try:
        serve.start(http_options={"host": host, "port": port})
        try:
            serve.run(application, name=APPLICATION, route_prefix="/")
        except RuntimeError as error:
            raise _reason(error) from error
        yield f"http://{host}:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def _start_ray() -> None:
    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        return
    # Logical CPUs only place replicas here; what computes is bounded by `threads`.
    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        num_cpus=max(8, os.cpu_count() or 1), object_store_memory=OBJECT_STORE_BYTES,
    )  # fmt: skip


def _reason(error: RuntimeError) -> CorpusmillError:
    """Why the application could not be deployed: the message of our own error, if that is what it was."""
    status = serve.status().applications.get(APPLICATION)
    messages = [deployment.message for deployment in status.deployments.values()] if status else []
    text = "\n".join(message for message in messages if message) or str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("retrieval.errors.")]
    return CorpusmillError(
        (ours or lines)[-1], hint="Ray's logs say more: /tmp/ray/session_latest/logs/serve"
    )


def wait(say: Callable[[str], None], address: str) -> None:
    """Until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    say(
        f"Ready: {address}  (playground, API under /v1, documentation under /openapi.json). Stop with Ctrl-C."
    )
    stop.wait()
