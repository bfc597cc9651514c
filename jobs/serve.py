"""A service on this machine: Ray, Ray Serve and the application, until it is interrupted."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray import serve

from retrieval.errors import ConfigError, CorpusmillError
from retrieval.serve.access import Keys, is_loopback
from retrieval.serve.ingress import build
from retrieval.serve.settings import ServeSettings

APPLICATION = "corpusmill"
OBJECT_STORE_BYTES = 200_000_000  # a service passes small arrays


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
