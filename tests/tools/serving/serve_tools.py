"""A service in processes of its own, as `corpusmill serve` starts it, and what tests ask of it."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from tests.conftest import make_documents

HOSTILE = (
    '<img src=x onerror="document.title=1"> \u202eright to left\u202c </script><script>alert(1)</script>'
)
READY_S = 120
# Values that are no text, or too much of it, and headers that Ray Serve, a framework or a proxy may read.
NO_TEXT = (b"\xff", b"\xc3\x28", b"a\x80b", b"\xed\xa0\x80", b"a" * 5_000, b"\xff" * 5_000)
HEADERS = (
    b"x-request-id", b"serve_multiplexed_model_id", b"serve-multiplexed-model-id", b"x-session-id",
    b"X_Session_ID", b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"traceparent",
    b"tracestate", b"x-ray-anything", b"rayserve-x", b"accept", b"accept-encoding", b"cookie", b"origin",
    b"referer", b"user-agent", b"x-forwarded-for", b"expect", b"range", b"if-none-match",
)  # fmt: skip


def served_documents() -> list[dict[str, Any]]:
    """Notes on eight topics, one hostile document, and facts that questions have answers in."""
    facts = [
        (
            "f1",
            "Brell lighthouse",
            "The lighthouse of Brell was built in 1843 by Ada Norwood. It is 31 metres high.",
        ),
        (
            "f2",
            "River Osk",
            "The river Osk rises in the hills of Tarn. It flows into the Grey Sea near Holm.",
        ),
        ("f4", "Lighthouses", "A lighthouse warns ships of rocks. Many were built of stone."),
        ("f3", "Copper thrush", "The copper thrush nests in reeds. It lays four blue eggs in early May."),
    ]
    documents = [
        {"_id": key, "title": title, "text": text, "year": 1900 + number}
        for number, (key, title, text) in enumerate(facts)
    ]
    documents.append(
        {"_id": "h/1", "title": f"Hostile {HOSTILE}", "text": f"A hostile text: {HOSTILE}", "year": 1}
    )
    return [*make_documents(60), *documents]


@dataclass
class Service:
    """A running service."""

    url: str
    index: Path
    process: subprocess.Popen
    log: Path

    def post(self, path: str, value: Any, **options: Any) -> httpx.Response:
        """POST JSON."""
        return httpx.post(self.url + path, json=value, timeout=60, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return httpx.get(self.url + path, timeout=60, **options)

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Processes of a deployment's replicas."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = []
        for child in children:
            try:
                title = " ".join(child.cmdline())
            except psutil.Error:
                continue
            if "ServeReplica" in title and deployment in title:
                found.append(child)
        return found

    def logs(self, deployment: str) -> str:
        """What the replicas of a deployment have logged."""
        files = (file.path for process in self.replicas(deployment) for file in process.open_files())
        paths = {Path(path) for path in files if Path(path).name.startswith("replica_")}
        assert paths, f"{deployment} has no log"
        return "".join(path.read_text() for path in sorted(paths))


def flip(path: Path) -> bytes:
    """Change one bit in the middle of a file; what it was before."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    return whole


def commit(index: Path, version: int) -> None:
    """Name the version to serve."""
    (index / "NEXT").write_text(str(version))
    os.replace(index / "NEXT", index / "LATEST")


def free_port() -> int:
    """A port that nobody listens on, below those that Ray's own processes are given at random."""
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextmanager
def serving(
    index: Path | str,
    folder: Path,
    config: str = "",
    cwd: Path | None = None,
    host: str = "127.0.0.1",
    **variables: str,
) -> Iterator[Service]:
    """`corpusmill serve` until the block ends. config: YAML of settings; variables: of the environment."""
    port = free_port()
    words = [sys.executable, "-m", "jobs", "serve", str(index), "--port", str(port), "--host", host]
    if config:
        path = folder / "serve.yaml"
        path.write_text(config, encoding="utf-8")
        words += ["--config", str(path)]
    log = folder / f"serve-{port}.log"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, stdout=file, stderr=file, env={**environment, **variables}, start_new_session=True, cwd=cwd
        )
    service = Service(f"http://127.0.0.1:{port}", Path(index), process, log)
    try:
        _until_ready(service)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _until_ready(service: Service) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert service.process.poll() is None, service.log.read_text()
        try:
            if service.get("/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"not ready after {READY_S} s:\n{service.log.read_text()}")
