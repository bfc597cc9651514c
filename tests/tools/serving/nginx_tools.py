"""The machine's nginx with deploy/nginx.conf, before a service that Ray's proxy listens for."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.serve.http.access import hashed_key, new_key
from tests.tools.serving.serve_tools import Service, free_port, serving

CONFIG = Path(__file__).resolve().parents[3] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")


@contextmanager
def behind_nginx(index: Path, folder: Path) -> Iterator[tuple[int, str, Service]]:
    """nginx's port, a key, and the service, until the block ends.

    There are two ingress replicas, so that Ray's proxy listens.
    """
    key = new_key()
    (folder / "keys").write_text(f"search {hashed_key(key)}\n")
    settings = f"access: {{keys_file: {folder}/keys}}\ningress: {{replicas: 2}}\n"
    with serving(index, folder, settings) as service, nginx(folder, int(service.url.split(":")[-1])) as port:
        yield port, key, service


@contextmanager
def nginx(folder: Path, behind: int) -> Iterator[int]:
    """nginx before a port of this machine; its own."""
    port = free_port()
    text = CONFIG.read_text(encoding="utf-8")
    assert text.count("listen 8080;") == 1 and text.count("server 127.0.0.1:8000;") == 1
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    (folder / "nginx.conf").write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{behind}"))
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"])
    try:
        _until_listening(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _until_listening(process: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
