"""Keys: who may search, who may administer, and that a service without keys stays on its machine."""

import http.client
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from retrieval.errors import ConfigError
from retrieval.serve.errors import Forbidden, NotAllowed
from retrieval.serve.http.access import AccessPolicy, Keys, hashed_key, is_loopback
from retrieval.serve.settings import Access
from tests.tools.serving.guarded_tools import ORIGIN, Guarded


def test_keys_are_asked_for_and_tell_roles_apart(guarded: Guarded) -> None:
    service, search, admin = guarded.service, guarded.search, guarded.admin

    def status(path: str, key: Any = None, method: str = "POST") -> int:
        headers = {} if key is None else {"authorization": key}
        value = {"query": "bees", "k": 1} if method == "POST" else None
        url = service.url + path
        return httpx.request(method, url, json=value, headers=headers, timeout=60).status_code

    for key in (None, "", "Bearer", f"Basic {search}", f"Bearer {search}x", "Bearer é".encode()):
        assert status("/v1/search", key) == 401, key
    assert status("/v1/search", f"Bearer {search}") == status("/v1/search", f"bearer {admin}") == 200
    assert status("/v1/index/reload", f"Bearer {search}") == 403
    assert status("/v1/index/reload", f"Bearer {admin}") == 200
    assert status("/v1/index", method="GET") == status("/metrics", method="GET") == 401
    assert status("/healthz", method="GET") == status("/readyz", method="GET") == 200
    assert service.get("/readyz").json() == {
        "ready": True, "version": 1, "problems": [], "refused": None,
    }  # fmt: skip
    allowed = "access-control-allow-origin"
    assert service.get("/healthz", headers={"origin": ORIGIN}).headers[allowed] == ORIGIN
    assert service.get("/v1/index", headers={"origin": ORIGIN}).headers[allowed] == ORIGIN
    assert allowed not in service.get("/healthz", headers={"origin": "https://b"}).headers
    assert refused_before_its_body(service.url) == 401


def refused_before_its_body(url: str) -> int:
    """The status of a request whose body never comes."""
    host = urlsplit(url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=5)
    connection.putrequest("POST", "/v1/search")
    connection.putheader("content-length", "500000")
    connection.endheaders()
    with connection.getresponse() as answer:
        return answer.status


def request(host: str | None = None, client: str = "127.0.0.1", **headers: str) -> dict[str, Any]:
    """As ASGI has it."""
    given = {"host": host, **headers} if host else headers
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return {"type": "http", "server": ("127.0.0.1", 8000), "client": (client, 1234), "headers": lines}


def test_without_keys_only_this_machine_is_answered() -> None:
    door = AccessPolicy(Keys([]), ["https://a.example"])
    for asked in (
        request(), request("127.0.0.1:8000"), request("localhost"), request("[::1]:8000"),
        request("localhost:8000", origin="http://localhost:3000"),
        request("localhost:8000", origin="https://a.example"),
    ):  # fmt: skip
        door.check(asked, "admin")
    for asked in (
        request(client="10.0.0.9"), request("evil.example:8000"), request("127.0.0.1.evil.example"),
        request("localhost", origin="https://b.example"), request("localhost", origin="null"),
        request("localhost", x_forwarded_for="203.0.113.9"),
        request("localhost", forwarded="for=203.0.113.9"),
        request("[::1"), request("localhost@evil.example"),
    ):  # fmt: skip
        with pytest.raises(NotAllowed):
            door.check(asked, "search")
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("10.0.0.1") and not is_loopback(None) and not is_loopback("example.org")


def test_an_admin_key_is_one_for_search_too() -> None:
    keys = Keys([("search", hashed_key("a" * 20)), ("admin", hashed_key("b" * 20))])
    door = AccessPolicy(keys)
    door.check(request("a.example", client="10.0.0.9", authorization="Bearer " + "b" * 20), "search")
    door.check(request("a.example", authorization="Bearer " + "b" * 20), "admin")
    with pytest.raises(Forbidden):
        door.check(request("localhost", authorization="Bearer " + "a" * 20), "admin")
    with pytest.raises(NotAllowed):
        door.check(request("localhost"), "search")


def test_an_open_address_needs_keys(served_index: Path) -> None:
    result = CliRunner().invoke(app, ["serve", str(served_index), "--host", "0.0.0.0"])
    assert result.exit_code == 2
    assert "corpusmill key search" in result.output


@pytest.mark.parametrize(
    "line", ["search", "search sha256:12", "reader sha256:" + "0" * 64, "search " + "0" * 64]
)
def test_a_bad_keys_file_is_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(line + "\n")
    with pytest.raises(ConfigError, match="line 1"):
        Keys.read(Access(keys_file=tmp_path / "keys"))
    with pytest.raises(ConfigError, match="cannot be read"):
        Keys.read(Access(keys_file=tmp_path / "none"))


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSMILL_SEARCH_KEY", "short")
    with pytest.raises(ConfigError, match="shorter"):
        Keys.read(Access())


def test_the_command_prints_a_key_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["key", "search"])
    key = result.stderr.split()[-1]
    (tmp_path / "keys").write_text(result.stdout)
    assert key not in result.stdout
    assert Keys.read(Access(keys_file=tmp_path / "keys")).role_of(key) == "search"


def test_vllm_that_is_not_installed_is_told(served_index: Path) -> None:
    words = ["serve", str(served_index), "--generator", "vllm", "--model", "some/model"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "ray[llm]" in result.output


def test_a_port_that_is_taken_is_told(served_index: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["serve", str(served_index), "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 2
    assert "cannot be listened on" in result.output and "--port" in result.output
