"""A service whose index or parts go wrong while it runs: it says so, and goes on as far as it can."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from retrieval.format.manifest import read_manifest, version_key
from retrieval.serve.http.access import hashed_key, new_key
from retrieval.storage.store import Store
from tests.tools.serving.serve_tools import Service, serving

WAIT_S = 60
HIDDEN = re.compile(r"/tmp|/home|\.arrow|s3:|127\.0\.0\.1|Traceback|File \"")


@dataclass
class Told:
    """A service with keys over an index of its own."""

    service: Service
    index: Path
    search_key: str
    admin_key: str

    def ask(self, method: str, path: str, key: str = "", value: Any = None) -> httpx.Response:
        """A request with a key, or without."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.request(method, self.service.url + path, json=value, headers=headers, timeout=60)

    def state(self, key: str = "") -> dict[str, Any]:
        """What /readyz says, and its status."""
        answer = self.ask("GET", "/readyz", key)
        return {**answer.json(), "status": answer.status_code}

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What /readyz says to an administrator, once this is true of it."""
        deadline = time.monotonic() + WAIT_S
        while not condition(state := self.state(self.admin_key)):
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
        return state

    def search(self, **more: Any) -> httpx.Response:
        """A search by who may search."""
        return self.ask("POST", "/v1/search", self.search_key, {"query": "notes about bees", **more})

    def gauge(self, name: str) -> str:
        """Its value, as it is exported."""
        text = self.ask("GET", "/metrics", self.search_key).text
        return "".join(re.findall(rf"^ray_{name}\{{.*\}} (\S+)$", text, re.MULTILINE)[:1])

    def logged(self, text: str) -> int:
        """How often the log says it."""
        return self.service.logs("ingress").count(text)

    def assert_hidden(self) -> None:
        """Nothing of the server is told to who may not administer."""
        for key in ("", self.search_key):
            for path in ("/readyz", "/healthz", "/v1/index"):
                assert not HIDDEN.search(self.ask("GET", path, key).text), (path, key)


@pytest.fixture(scope="module")
def told(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder, search_key, admin_key = tmp_path_factory.mktemp("told"), new_key(), new_key()
    shutil.copytree(served_index, folder / "index")
    (folder / "keys").write_text(f"search {hashed_key(search_key)}\nadmin {hashed_key(admin_key)}\n")
    config = f'{{watch_s: 0.2, access: {{keys_file: "{folder / "keys"}"}}}}'
    with serving(folder / "index", folder, config) as service:
        yield Told(service, folder / "index", search_key, admin_key)


def write_latest(told: Told, content: bytes) -> None:
    (told.index / "NEXT").write_bytes(content)
    (told.index / "NEXT").replace(told.index / "LATEST")


def no_latest(told: Told) -> None:
    (told.index / "LATEST").unlink()


def folder_for_latest(told: Told) -> None:
    (told.index / "LATEST").unlink()
    (told.index / "LATEST").mkdir()


def damaged_manifest(told: Told, content: bytes) -> None:
    (told.index / version_key(2)).write_bytes(content)
    write_latest(told, b"2")


GARBAGE: dict[str, Callable[[Told], None]] = {
    **{
        f"LATEST {content[:8]!r}": lambda told, content=content: write_latest(told, content)
        for content in (b"abc", b"", b"\xff\xfe", b"-1", "²".encode(), b"1.0", b"9" * 5_000)
    },
    "no LATEST": no_latest,
    "a folder": folder_for_latest,
    "no such version": lambda told: write_latest(told, b"999"),
    "a cut manifest": lambda told: damaged_manifest(told, b'{"format": 2, "sha'),
    "a manifest of zeros": lambda told: damaged_manifest(told, b"\0" * 500),
    "an old manifest": lambda told: damaged_manifest(told, b'{"format": 1}'),
    "a deep manifest": lambda told: damaged_manifest(told, b"[" * 100_000),
    "no list": lambda told: damaged_manifest(told, b"null"),
}  # fmt: skip


def test_what_is_wrong_with_latest_is_told_and_the_old_version_stays(
    told: Told, subtests: pytest.Subtests
) -> None:
    for name, damage in GARBAGE.items():
        with subtests.test(name):
            try:
                damage(told)
                state = told.until(lambda state: bool(state["problems"]))
                assert state["status"] == 200 and state["ready"] and state["version"] == 1
                assert state["refused"] or "LATEST" in state["problems"][0]
                assert told.search().json()["version"] == 1
                told.assert_hidden()
                assert told.state()["problems"] and told.state()["ready"]
                answer = told.ask("POST", "/v1/index/reload", told.admin_key, {})
                assert answer.status_code in (409, 503), answer.text
                assert answer.json()["error"]["message"] not in ("", "the service failed")
                assert told.ask("POST", "/v1/index/reload", told.search_key, {}).status_code == 403
                assert told.search().json()["version"] == 1
            finally:
                shutil.rmtree(told.index / "LATEST", ignore_errors=True)
                write_latest(told, b"1")
            told.until(lambda state: not state["problems"] and state["refused"] is None)
            answer = told.ask("POST", "/v1/index/reload", told.admin_key, {})
            assert answer.status_code == 200 and answer.json()["version"] == 1


def test_a_problem_is_logged_once_and_counted(told: Told) -> None:
    before, again = told.logged("LATEST cannot be followed"), told.logged("LATEST names a version again")
    write_latest(told, b"garbage once")
    told.until(lambda state: bool(state["problems"]))
    deadline = time.monotonic() + WAIT_S
    while told.gauge("corpusmill_latest_problem") not in ("1", "1.0"):  # many polls
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert told.logged("LATEST cannot be followed") == before + 1
    assert "garbage once" in told.service.logs("ingress")
    write_latest(told, b"1")
    told.until(lambda state: not state["problems"])
    assert told.logged("LATEST names a version again") == again + 1
    while told.gauge("corpusmill_latest_problem") not in ("0", "0.0"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert told.gauge("corpusmill_ready") in ("1", "1.0")


def test_reloads_at_the_same_time_are_answered(told: Told) -> None:
    with ThreadPoolExecutor(8) as pool:

        def reload(_: int) -> int:
            return told.ask("POST", "/v1/index/reload", told.admin_key, {}).status_code

        assert set(pool.map(reload, range(16))) <= {200, 409, 503}
        write_latest(told, b"999")
        assert set(pool.map(reload, range(16))) <= {409, 503}
    write_latest(told, b"1")
    told.until(lambda state: not state["problems"])


def passages_of(index: Path) -> list[Path]:
    """The files with the texts of passages, one a shard."""
    manifest = read_manifest(Store(str(index)), 1)
    found = [index / file.key for shard in manifest.shards for file in shard.passages]
    return [path for path in found if path.suffix == ".arrow"]


def no_text(content: bytes) -> bytes:
    """The same with bytes that are no text where passages have words."""
    assert content.count(b"Note ") > 10
    return content.replace(b"Note ", b"\xff\xfe\xff\xfe\xff")


def overwrite(path: Path, content: bytes) -> None:
    """In place: who has mapped the file sees it."""
    with path.open("r+b") as file:
        file.write(content)


def test_it_is_not_ready_while_every_search_fails_and_recovers_by_itself(told: Told) -> None:
    whole = {path: path.read_bytes() for path in passages_of(told.index)}
    assert len(whole) > 1 and told.search(k=50).status_code == 200
    first = next(iter(whole))
    try:
        for path, content in whole.items():
            overwrite(path, no_text(content))
        answer = told.search(k=50)
        assert answer.status_code == 500 and answer.json()["error"]["type"] == "IndexDamaged"
        assert answer.json()["error"]["message"] == "the index is damaged"
        assert not HIDDEN.search(answer.text)
        state = told.until(lambda state: state["status"] == 503)
        assert not state["ready"] and first.name in json.dumps(state["problems"])
        assert told.state()["problems"] == ["every search fails: the index is damaged"]
        told.assert_hidden()
        request_id = answer.json()["error"]["request_id"]
        assert re.search(
            rf"request {request_id}: IndexDamaged: .*{first.parent.name}", told.service.logs("ingress")
        )
        streamed = told.ask("POST", "/v1/answer", told.search_key, {"question": "bees?", "stream": True})
        assert not HIDDEN.search(streamed.text) and "damaged" in streamed.text
    finally:
        for path, content in whole.items():
            overwrite(path, content)
    state = told.until(lambda state: state["status"] == 200)  # nobody searches meanwhile
    assert state == {"ready": True, "version": 1, "problems": [], "refused": None, "status": 200}
    assert told.search(k=50).status_code == 200


def test_one_query_that_fails_among_good_ones_changes_nothing(told: Told) -> None:
    """One shard of several is damaged, which only some queries read passages of."""
    path = passages_of(told.index)[-1]
    whole = path.read_bytes()
    good = {"filter": "year = 1501", "k": 1}  # in the first shard
    overwrite(path, no_text(whole))
    try:
        end, statuses = time.monotonic() + 8, set()
        while time.monotonic() < end:
            assert told.search(**good).status_code == 200
            statuses.add(told.search(k=80).status_code)
            assert told.state()["status"] == 200
        assert statuses == {500}
    finally:
        overwrite(path, whole)
    assert told.search(k=80).status_code == 200


@pytest.mark.slow
def test_storage_that_is_gone_is_told_and_what_is_open_answers(
    served_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://{host}:{port}"}
    files = Store("s3://told-bucket", options).fs
    files.mkdir("told-bucket")
    files.put(f"{served_index}/", "told-bucket/", recursive=True)
    search_key, admin_key = new_key(), new_key()
    (tmp_path / "keys").write_text(f"search {hashed_key(search_key)}\nadmin {hashed_key(admin_key)}\n")
    values = {
        "index": "s3://told-bucket", "storage_options": options, "watch_s": 0.5,
        "access": {"keys_file": str(tmp_path / "keys")},
    }  # fmt: skip
    with serving("s3://told-bucket", tmp_path, json.dumps(values)) as service:
        told = Told(service, tmp_path, search_key, admin_key)
        assert told.search().status_code == 200
        server.stop()
        state = told.until(lambda state: bool(state["problems"]))
        assert state["status"] == 200 and state["ready"] and "told-bucket" in state["problems"][0]
        assert told.state()["problems"] == [
            "LATEST cannot be followed: the storage of the index does not answer"
        ]
        told.assert_hidden()
        assert told.search().json()["version"] == 1
        answer = told.ask("POST", "/v1/index/reload", admin_key, {})
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["type"] == "StorageError"
