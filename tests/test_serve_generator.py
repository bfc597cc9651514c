"""A generator behind the service: its places, its faults, a client that leaves, and what the logs hold."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from retrieval.serve.access import new_key
from tests.generation_tools import reply, server
from tests.serve_tools import Service, serving

KEY, GENERATOR_KEY = new_key(), "generator-key-3141592653"
QUESTION = "When was the lighthouse of Brell built?"
BROKEN = "When was the lighthouse of Brell built, BROKEN?"
SECRET = "lighthouse of Brell"
PIECE_S = 0.1
CONFIG = """
limits: {{answers: 1}}
generation: {{kind: openai, model: m, base_url: "{url}", api_key_env: A_KEY, max_tokens: 900}}
"""


class Endpoint:
    """Writes one word every PIECE_S seconds until the reader is gone, and says so."""

    def __init__(self) -> None:
        self.left = threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        """The answer to a request."""
        if "BROKEN" in self.asked:
            reply(500, "out of order")(request)
            return
        request.send_response(200)
        request.end_headers()
        try:
            for number in range(600):
                text = "It was built in 1843 [1]. " if number == 0 else "more "
                event = {"choices": [{"delta": {"content": text}}]}
                request.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                request.wfile.flush()
                time.sleep(PIECE_S)
        except OSError:
            self.left.set()

    asked = ""


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    """What the generator's address answers."""
    return Endpoint()


@pytest.fixture(scope="module")
def generating(
    served_index: Path, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with one place for answers."""
    variables = {"A_KEY": GENERATOR_KEY, "CORPUSMILL_SEARCH_KEY": KEY}
    folder = tmp_path_factory.mktemp("generating")
    with server(endpoint) as url, serving(served_index, folder, CONFIG.format(url=url), **variables) as found:
        yield found


def asking(service: Service, question: str) -> Any:
    """A streamed answer, as a context manager."""
    headers = {"authorization": f"Bearer {KEY}"}
    value = {"question": question, "stream": True}
    return httpx.stream("POST", f"{service.url}/v1/answer", json=value, headers=headers, timeout=30)


def until_a_token(answer: Any) -> Iterator[str]:
    """Read until the generator has written something; the rest. Who drops that closes the connection."""
    lines: Iterator[str] = answer.iter_lines()
    for line in lines:
        if line == "event: token":
            return lines
    raise AssertionError("no token came")


def test_who_gets_no_place_is_told_at_once_and_a_client_that_leaves_frees_its_own(
    generating: Service, endpoint: Endpoint
) -> None:
    endpoint.left.clear()
    with asking(generating, QUESTION) as answer:
        rest = until_a_token(answer)
        with asking(generating, QUESTION) as other:
            assert other.status_code == 503 and other.headers["retry-after"] == "1"
            assert "limits.answers" in other.read().decode()
        assert next(rest).startswith("data:")
    start = time.monotonic()
    assert within(2, lambda: status_of(generating) == 200), "the place is not free"
    assert endpoint.left.wait(2), "the generator still writes"
    assert time.monotonic() - start < 4
    assert "Traceback" not in generating.logs("ingress")


def test_a_generator_that_fails_is_told(generating: Service, endpoint: Endpoint) -> None:
    endpoint.asked = BROKEN
    try:
        headers = {"authorization": f"Bearer {KEY}"}
        answer = generating.post("/v1/answer", {"question": BROKEN}, headers=headers)
        assert answer.status_code == 502 and "answered 500" in answer.json()["error"]["message"]
        with asking(generating, BROKEN) as stream:
            assert "event: error" in stream.read().decode()
    finally:
        endpoint.asked = ""
    assert within(2, lambda: status_of(generating) == 200)


def test_logs_hold_neither_keys_nor_questions(generating: Service) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": "logged-1"}
    assert generating.post("/v1/search", {"query": SECRET}, headers=headers).status_code == 200
    assert within(5, lambda: "logged-1" in generating.logs("ingress"))
    logs = generating.logs("ingress") + generating.log.read_text()
    for hidden in (KEY, GENERATOR_KEY, SECRET):
        assert hidden not in logs


def test_readiness_tells_strangers_no_paths(generating: Service) -> None:
    assert generating.get("/readyz").json() == {"ready": True, "version": 1, "refused": None}
    assert generating.get("/v1/index").status_code == 401


def status_of(service: Service) -> int:
    """Of a streamed answer, left at once."""
    with asking(service, QUESTION) as answer:
        return int(answer.status_code)


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
