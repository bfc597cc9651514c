"""Bytes that are no text, in all that a request consists of, before and after its key is looked at.

Of a service that listens itself, and of one behind Ray's proxy.
"""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from retrieval.serve.http.access import hashed_key, new_key
from tests.tools.serving.guarded_tools import Guarded
from tests.tools.serving.serve_tools import HEADERS, NO_TEXT, Service, serving

ASKED = b'{"query": "bees", "k": 1}'
OBEYED = {
    b"x-request-timeout-seconds": (b"0.000001", b"nan", b"-1", b"1e999"),
    b"x-request-disconnect-disabled": (b"?1", b"1"),
    b"serve_multiplexed_model_id": (b"x", b"../x"),
}


def answer(url: str, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the first answer to these bytes."""
    host = urlsplit(url)
    with socket.create_connection((host.hostname, host.port), timeout=20) as connection:
        connection.sendall(sent)
        reader = connection.makefile("rb")
        status = int(reader.readline().split(b" ")[1])
        headers = {}
        while (line := reader.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            headers[name.decode("ascii").lower()] = value.strip().decode("ascii")
        length = 0 if sent.startswith(b"HEAD ") else int(headers.get("content-length", 0))
        return status, headers, reader.read(length)


def search(*lines: bytes, key: str = "", host: bytes = b"localhost", path: bytes = b"/v1/search") -> bytes:
    """A search with more header lines."""
    own = [b"host: " + host, b"content-length: %d" % len(ASKED)]
    if not any(line.lower().startswith(b"content-type:") for line in lines):
        own.append(b"content-type: application/json")
    if key:
        own.append(b"authorization: Bearer " + key.encode())
    return b"POST " + path + b" HTTP/1.1\r\n" + b"\r\n".join([*own, *lines]) + b"\r\n\r\n" + ASKED


def told(url: str, sent: bytes, *statuses: int) -> dict[str, Any]:
    """The answer, which is JSON, and has an id that may be shown anywhere."""
    status, headers, body = answer(url, sent)
    assert status in statuses, (status, sent[:200], body[:300])
    assert headers["content-type"].startswith("application/json"), (headers, body[:300])
    found: dict[str, Any] = json.loads(body)
    shown = headers["x-request-id"]
    assert 1 <= len(shown) <= 64 and shown.isascii() and shown.isprintable() and "," not in shown
    if status >= 400:
        assert found["error"]["request_id"] == shown and found["error"]["message"]
    return found


@pytest.fixture(scope="module")
def proxied(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Two ingress replicas, with keys: Ray's proxy is in front of them."""
    folder, search_key, admin = tmp_path_factory.mktemp("proxied"), new_key(), new_key()
    (folder / "keys").write_text(f"search {hashed_key(search_key)}\nadmin {hashed_key(admin)}\n")
    config = f'{{access: {{keys_file: "{folder / "keys"}"}}, ingress: {{replicas: 2}}}}'
    with serving(served_index, folder, config) as service:
        yield Guarded(service, search_key, admin, None)  # type: ignore[arg-type]


@pytest.fixture(params=["itself", pytest.param("proxy", marks=pytest.mark.slow)])
def asked(request: pytest.FixtureRequest) -> Guarded:
    """A service with keys, that listens itself or behind Ray's proxy."""
    found: Guarded = request.getfixturevalue("guarded" if request.param == "itself" else "proxied")
    return found


def test_headers_that_are_no_text_are_ignored(asked: Guarded) -> None:
    url = asked.service.url
    for name in HEADERS:
        for value in NO_TEXT:
            line = name + b": " + value
            told(url, search(line), 401)
            assert "hits" in told(url, search(line, key=asked.search), 200)
            told(url, b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + line + b"\r\n\r\n", 200)


def test_headers_that_ray_obeys_are_not_obeyed(asked: Guarded) -> None:
    for name, values in OBEYED.items():
        for value in values:
            assert "hits" in told(asked.service.url, search(name + b": " + value, key=asked.search), 200)


def test_an_id_is_repeated_only_where_it_may_be_shown(asked: Guarded) -> None:
    for given in (b"one-2.3_4", b"a" * 64):
        headers = answer(asked.service.url, search(b"X-Request-ID: " + given, key=asked.search))[1]
        assert headers["x-request-id"] == given.decode()
    for given in (b"a" * 65, b"a b", b"<script>", b"a\tb", b"\xff", b""):
        headers = answer(asked.service.url, search(b"x-request-id: " + given, key=asked.search))[1]
        assert headers["x-request-id"].isalnum() and len(headers["x-request-id"]) == 32
    several = (b"x-request-id: \xff", b"x-request-id: b", b"X-REQUEST-ID: " + b"c" * 900)
    told(asked.service.url, search(*several, key=asked.search), 200)


def test_a_host_that_is_none_is_refused(asked: Guarded) -> None:
    url = asked.service.url
    for host in (b"\xff", b"a b", b"a/b", b"a@b", b"<a>", b"a:b", b"[::1", b"a:999999", b"a\\b"):
        for key in ("", asked.search):
            told(url, search(host=host, key=key), 400)
    told(url, b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400)
    told(url, b"GET /healthz HTTP/1.1\r\n\r\n", 400)
    told(url, b"GET /healthz HTTP/1.0\r\n\r\n", 200)
    for host in (b"a.example:8000", b"[::1]:8000", b"127.0.0.1", b"under_score", b""):
        told(url, search(host=host, key=asked.search), 200)


def test_keys_and_types_that_are_no_text_are_told(asked: Guarded) -> None:
    url = asked.service.url
    for value in NO_TEXT:
        for scheme in (b"", b"Bearer ", b"Basic "):
            told(url, search(b"authorization: " + scheme + value), 401)
        told(url, search(b"content-type: " + value), 401)
        found = told(url, search(b"content-type: " + value, key=asked.search), 200, 400, 415, 422)
        assert "hits" in found or found["error"]["type"] == "BadRequest"
        told(
            url, search(b"content-type: application/json; charset=" + value, key=asked.search), 200, 400, 422
        )


def test_paths_that_are_no_text_are_told(asked: Guarded) -> None:
    url = asked.service.url
    for path in (b"/\xff", b"/v1/\xff", b"/v1/search?\xff", b"/healthz?x=\xff"):  # raw: no HTTP
        status, _, body = answer(url, search(path=path, key=asked.search))
        assert status == 400 or b"hits" in body or status in (404, 405), (path, body)
    for path in (b"/%ff", b"/v1/%ff", b"/v1/passages/%ff", b"/v1/passages/%ed%a0%80", b"/v1/passages/%00",
                 b"/playground/%ff", b"/-/%ff", b"/v1/%2e%2e/%ff", b"//a.example/%ff"):  # fmt: skip
        head = b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n"
        told(url, head + b"\r\n", 401, 404)
        told(url, head + b"authorization: Bearer " + asked.search.encode() + b"\r\n\r\n", 404, 422)
    for query in (b"%ff", b"x=%ff&%ed%a0%80=1", b"=%00", b"&" * 500):
        assert "hits" in told(url, search(path=b"/v1/search?" + query, key=asked.search), 200)


def test_nothing_redirects_and_no_answer_names_a_foreign_host(asked: Guarded) -> None:
    paths = (
        "/v1/search/", "/healthz/", "/readyz/", "/v1/index/", "/v1/index/reload/", "/openapi.json/",
        "/metrics/", "/playground", "/playground/", "//", "//evil.example/", "/docs", "/redoc",
        "/docs/oauth2-redirect", "/openapi.json", "/", "/readyz", "/v1/index", "/-/routes/",
        "/%2f%2fevil.example",
    )  # fmt: skip
    for path in paths:
        for method in (b"GET", b"POST", b"HEAD", b"OPTIONS"):
            for key in (b"", b"authorization: Bearer " + asked.admin.encode() + b"\r\n"):
                head = method + b" " + path.encode() + b" HTTP/1.1\r\nhost: evil.example\r\n"
                head += b"x-forwarded-host: evil.example\r\nx-forwarded-proto: https\r\n"
                status, headers, body = answer(asked.service.url, head + key + b"content-length: 0\r\n\r\n")
                assert not 300 <= status < 400 and "location" not in headers, (method, path, status)
                assert "evil.example" not in json.dumps(headers)
                if "evil" not in path:
                    assert b"evil.example" not in body, (method, path)


def test_a_service_without_keys_ignores_them_too(service: Service) -> None:
    for name in HEADERS[:10]:
        if name != b"origin":
            assert "hits" in told(service.url, search(name + b": \xff"), 200)
