"""A service on this machine: Ray, Ray Serve and the application, until it is interrupted."""

import json
import logging
import math
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import torch
from ray import serve

from pipelines.runtime import LocalJobConfig, own_ray, read_authentication
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.serve import ServeSettings
from retrieval.serve.distributed import build
from retrieval.serve.http import MIDDLEWARES, MIDDLEWARES_VARIABLE, Keys, is_loopback
from retrieval.serve.listener import LISTEN_HOST

APPLICATION = "corpusmill"
OBJECT_STORE_BYTES = 200_000_000  # a service passes small arrays
STATE_S = 10
PATIENCE_S = 30
SPARE_CPUS = 8  # for replicas that come when there is more to do


@contextmanager
def running(
    settings: ServeSettings, host: str, port: int, say: Callable[[str], None] = lambda _text: None
) -> Iterator[str]:
    """The service, ready; its address. `say` is told what takes long.

    Raises CorpusmillError where it cannot be made ready.
    """
    if not is_loopback(host) and not Keys.read(settings.access):
        raise ConfigError(
            f"without keys the service listens on this machine only, not on {host}",
            hint="Make a key: corpusmill key search, or leave --host out.",
        )
    _check_port(host, port)
    application = build(settings.model_dump())
    own = not ray.is_initialized() and not os.environ.get("RAY_ADDRESS")
    alone = own and _without_proxy(settings, host, port)
    with _ray(settings) as folder:
        try:
            # Serve starts its proxy all the same; then nobody is told of it, and it stays on this machine.
            address = ("127.0.0.1", _free_port()) if alone else (host, port)
            serve.start(http_options=dict(zip(("host", "port"), address, strict=True)))
            try:
                with _patience(say):
                    serve.run(application, name=APPLICATION, route_prefix="/")
            except RuntimeError as error:
                raise _reason(error, folder) from error
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            if own:
                serve.shutdown()
            else:
                serve.delete(APPLICATION)


def _without_proxy(settings: ServeSettings, host: str, port: int) -> bool:
    """Let the only ingress replica of a Ray that is started here listen itself, if there is one alone.

    Ray Serve's proxy, which spreads requests over replicas, costs more than a search: milliseconds of CPU
    on the cores that search. Serve reads these variables in each of its processes.
    """
    if settings.ingress.several:
        return False
    os.environ["RAY_SERVE_ENABLE_DIRECT_INGRESS"] = "1"
    os.environ[LISTEN_HOST] = host
    # What takes the place of a replica that died takes its port, at once; nothing drains connections here.
    os.environ["RAY_SERVE_PORT_QUARANTINE_S"] = "0"
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "1"
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] = str(port)
    os.environ["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] = str(port + 1)  # beyond the last
    return True


def _check_port(host: str, port: int) -> None:
    """Raises ConfigError where the port cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {error.strerror}", hint="Choose another one: --port 8001"
        ) from error


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _patience(say: Callable[[str], None]) -> Iterator[None]:
    """Say every PATIENCE_S seconds what is not there yet: Ray waits without end for what a cluster lacks."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(PATIENCE_S):
            status = serve.status().applications.get(APPLICATION)
            for name, deployment in (status.deployments if status else {}).items():
                if deployment.status != "HEALTHY":
                    say(f"Waiting for {name}: {deployment.message or deployment.status.value}")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def reserved(settings: ServeSettings) -> tuple[float, float, dict[str, float]]:
    """CPUs, GPUs and custom resources that the replicas that are always there reserve together."""
    resources: dict[str, float] = {}
    for placement in settings.placements:
        for name, number in placement.resources.items():
            resources[name] = resources.get(name, 0) + number * placement.least
    cpus = sum(placement.cpus * placement.least for placement in settings.placements)
    gpus = sum(placement.gpus * placement.least for placement in settings.placements)
    if settings.generation.of.engine:  # an engine takes one at least
        gpus += max(0, 1 - settings.generator.gpus) * settings.generator.least
    return cpus, gpus, resources


def check_gpus(reserved: float) -> None:
    """Raises ConfigError where this machine has fewer: Ray would wait for them without end."""
    if reserved > torch.cuda.device_count():
        raise ConfigError(
            f"the service reserves {reserved:g} GPUs, this machine has {torch.cuda.device_count()}",
            hint="Take `gpus` out of the configuration, or serve on a Ray cluster: serve deploy.",
        )


@contextmanager
def _ray(settings: ServeSettings) -> Iterator[Path | None]:
    """Ray, ready: the one that is there, the one of RAY_ADDRESS, or one of our own; the folder of that."""
    if not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
        cpus, gpus, resources = reserved(settings)
        check_gpus(gpus)
        os.environ.setdefault(MIDDLEWARES_VARIABLE, MIDDLEWARES)  # all processes of Ray inherit it
        # Logical CPUs only place replicas here, however many; what computes is bounded by `threads`.
        with own_ray(
            include_dashboard=False, num_cpus=SPARE_CPUS + math.ceil(cpus), resources=resources,
            object_store_memory=OBJECT_STORE_BYTES, log_to_driver=False, logging_level=logging.ERROR,
        ) as folder:  # fmt: skip
            _end_on_sigterm()
            yield folder
        return
    if not ray.is_initialized():
        read_authentication()
        ray.init(job_config=LocalJobConfig(), log_to_driver=False, logging_level=logging.ERROR)
        _end_on_sigterm()
    yield None


def _end_on_sigterm() -> None:
    """Have SIGTERM end what is being started as Ctrl-C does. Ray's own handler aborts the process at once."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def _reason(error: RuntimeError, folder: Path | None) -> CorpusmillError:
    """Why the application could not be deployed: the message of our own error, if that is what it was."""
    status = serve.status().applications.get(APPLICATION)
    messages = [deployment.message for deployment in status.deployments.values()] if status else []
    text = "\n".join(message for message in messages if message) or str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("retrieval.errors.")]
    logs = f"{folder}/ray" if folder else "Ray's folder"
    return CorpusmillError(
        (ours or lines)[-1],
        hint=f"The ingress replica's log says more: session_latest/logs/serve below {logs}.",
    )


def refusal(address: str) -> str | None:
    """What the service says of a newer version that it could not take."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=STATE_S) as answer:
            state = json.load(answer)
    except (OSError, ValueError):  # it is ready all the same
        return None
    refused = state["refused"]
    if refused is None:
        return None
    return (
        f"Version {refused['version']} is refused, version {state['version']} answers: {refused['why']} "
        "(more in the ingress replica's log)"
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
