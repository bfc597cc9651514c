"""Joins the Ray cluster that a build runs on, or starts one on this machine for its time."""

import contextlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import ray

from pipelines.config import RaySettings
from pipelines.runtime.local_ray import LocalJobConfig, own_ray, read_authentication
from retrieval.errors import ConfigError

OBJECT_STORE_BYTES = 2_000_000_000  # parts on their way are a few megabytes each
QUIET = {"logging_level": logging.CRITICAL, "log_to_driver": False}


def has_gpus(settings: RaySettings) -> bool:
    """Whether work is given GPUs: the configuration says so, or some are there now."""
    if settings.embed_gpus is not None:
        return settings.embed_gpus > 0
    return bool(ray.cluster_resources().get("GPU", 0) >= 1)


@contextlib.contextmanager
def connected(settings: RaySettings) -> Iterator[None]:
    """Within the block Ray is ready. A cluster that was joined before, or started by others, stays."""
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are told by the build itself
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = settings.address or os.environ.get("RAY_ADDRESS")
    # The named parameters that Ray's warning asks for do not cover retries yet.
    warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    if address:
        _check_answers(address)
    with contextlib.ExitStack() as running:
        try:
            running.enter_context(_joined(address) if address else _own(settings))
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"no Ray at {address or 'this machine'}: {str(error).splitlines()[0]}",
                hint="Check ray.address, or leave it and RAY_ADDRESS unset to build on this machine.",
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray sets its own, which ends the process silently
        yield


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    read_authentication()  # a Ray of our own may have been here before, with another token
    try:
        ray.init(address=address, job_config=LocalJobConfig(), **QUIET)
        yield
    finally:
        ray.shutdown()


def _own(settings: RaySettings) -> contextlib.AbstractContextManager[Path]:
    return own_ray(
        num_cpus=settings.cpus, include_dashboard=False, object_store_memory=object_store_bytes(), **QUIET
    )


def _check_answers(address: str) -> None:
    """Raise ConfigError if nothing listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].partition(":")
    if address in ("auto", "local") or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray at {address}: {error}",
            hint="Start it, or leave ray.address and RAY_ADDRESS unset to build on this machine.",
        ) from error


def object_store_bytes() -> int:
    """Memory that a Ray of this machine alone is given for objects: parts pass through it, no corpus does."""
    return min(OBJECT_STORE_BYTES, psutil.virtual_memory().total // 4)
