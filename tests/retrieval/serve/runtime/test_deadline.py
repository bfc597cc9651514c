"""A service whose work ends: at the deadline of a request, and when its client leaves."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from retrieval.format.manifest import Manifest
from retrieval.search.options import Options
from retrieval.serve.errors import TooLarge
from retrieval.serve.runtime.searching import computed
from retrieval.serve.settings import Limits
from retrieval.settings import SearchSettings
from tests.tools.samples.generation_tools import server
from tests.tools.serving.serve_tools import Service, serving

SOON_S = 0.3  # after its end nothing of a request is worked on
WINDOW_S = 0.7
MOST_CPU_S = 0.2  # of all replicas in that window
LONG = " ".join(f"Note {number} is about rivers, seen near place {number % 13}." for number in range(60))
QUESTION = "When was the lighthouse of Brell built?"
# As large as they may be without limits on what is computed: each takes many seconds.
QUERIES = [f"notes about rivers and clocks, number {number}" for number in range(256)]
PASSAGES = [{"text": LONG[:3_500]} for _ in range(256)]
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cross-encoder": ("/v1/search/batch", {"queries": QUERIES, "rerank": "cross-encoder", "k": 1}),
    "late interaction": ("/v1/search/batch", {"queries": QUERIES, "rerank": "late-interaction", "k": 1}),
    "texts by cross-encoder": (
        "/v1/rerank", {"query": "rivers", "passages": PASSAGES, "method": "cross-encoder"},
    ),
    "texts by late interaction": (
        "/v1/rerank", {"query": "rivers", "passages": PASSAGES, "method": "late-interaction"},
    ),
    "embeddings": ("/v1/embeddings", {"input": [LONG[: 3_500]] * 256}),
    "queries of a search": ("/v1/search/batch", {"queries": [LONG[: 3_500]] * 256, "k": 1}),
    "explained": (
        "/v1/search", {"query": QUESTION, "k": 200, "explain": True, "rerank": "late-interaction"},
    ),
    "answer": ("/v1/answer", {"question": QUESTION, "k": 20}),
    "streamed answer": ("/v1/answer", {"question": QUESTION, "k": 20, "stream": True}),
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": QUESTION}]}),
}  # fmt: skip
HURRIED = [name for name in REQUESTS if name != "chat"]  # which has no timeout_ms
CONFIG = """
placement: {placement}
groups: 2
limits: {{reranked: 100000, explained: 1000}}
generation: {{kind: openai, model: m, base_url: "{url}"}}
"""
DEPLOYMENTS = ("ingress", "encoder", "shards", "reranker", "generator")


@dataclass
class Hurried:
    """A service, and whether its generator was asked, and left."""

    service: Service
    asked: threading.Event
    left: threading.Event

    def cpu_s(self) -> float:
        """Seconds that all replicas have computed."""
        seconds = 0.0
        for name in DEPLOYMENTS:
            for process in self.service.replicas(name):
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds

    def rests(self, soon_s: float = SOON_S) -> None:
        """Some time after the end of a request nothing of it runs."""
        time.sleep(soon_s)
        before = self.cpu_s()
        time.sleep(WINDOW_S)
        used = self.cpu_s() - before
        assert used < MOST_CPU_S, f"{used:.2f} s of CPU in {WINDOW_S} s"


def writing(asked: threading.Event, left: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    """A generator that says nothing for a while, then a word now and then, until its reader has left."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(200):
                time.sleep(0.1)
                request.wfile.write(b'data: {"choices": [{"delta": {"content": "1843 [1] "}}]}\n\n')
                request.wfile.flush()
        except OSError:
            left.set()

    return handle


@contextmanager
def hurrying(index: Path, folder: Path, placement: str) -> Iterator[Hurried]:
    """The service, with every model loaded."""
    asked, left = threading.Event(), threading.Event()
    with (
        server(writing(asked, left)) as url,
        serving(index, folder, CONFIG.format(placement=placement, url=url)) as service,
    ):
        for rerank in ("late-interaction", "cross-encoder"):
            found = service.post("/v1/search", {"query": "bees", "rerank": rerank, "explain": True})
            assert found.status_code == 200, found.text
        assert service.post("/v1/answer", {"question": QUESTION, "timeout_ms": 3_000}).status_code == 504
        yield Hurried(service, asked, left)


@pytest.fixture(scope="module", params=["together", "apart"])
def hurried(
    request: pytest.FixtureRequest, served_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hurried]:
    """In one process, and with a deployment for each part."""
    with hurrying(served_index, tmp_path_factory.mktemp(request.param), request.param) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("name", HURRIED)
def test_nothing_is_computed_after_a_deadline(hurried: Hurried, name: str) -> None:
    path, asked = REQUESTS[name]
    limit_s = 0.2 if name in ("explained", "answer", "streamed answer") else 1.0
    start = time.monotonic()
    found = hurried.service.post(path, {**asked, "timeout_ms": int(1000 * limit_s)})
    took = time.monotonic() - start
    if asked.get("stream") and found.status_code == 200:
        assert "DeadlineExceeded" in found.text
    else:
        assert found.status_code == 504 and found.json()["error"]["type"] == "DeadlineExceeded"
    assert took < limit_s + SOON_S
    hurried.rests(SOON_S - max(0.0, took - limit_s))


@pytest.mark.slow
@pytest.mark.parametrize("name", REQUESTS)
def test_nothing_is_computed_for_a_client_that_left(hurried: Hurried, name: str) -> None:
    path, asked = REQUESTS[name]
    writes = "answer" in name or name == "chat"
    hurried.asked.clear()
    hurried.left.clear()
    body = json.dumps(asked).encode()
    address = urlsplit(hurried.service.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as client:
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        if writes:
            assert hurried.asked.wait(20)
        time.sleep(0.25 if name == "explained" else 1.0)
        client.setblocking(False)
        if not asked.get("stream"):
            with pytest.raises(BlockingIOError):  # there is no answer: it is worked on
                client.recv(1)
    hurried.rests()
    if writes:
        assert hurried.left.wait(SOON_S), "the generator still writes"
    assert hurried.service.post("/v1/search", {"query": "bees"}).status_code == 200


@pytest.mark.slow
def test_searches_are_answered_while_others_ask_for_much(hurried: Hurried) -> None:
    """The attack that shut all others out for a minute, which the limits here let in."""
    path, asked = REQUESTS["cross-encoder"]
    service = hurried.service
    with ThreadPoolExecutor(4) as pool:
        attacks = [pool.submit(service.post, path, {**asked, "timeout_ms": 2_500}) for _ in range(4)]
        time.sleep(0.5)
        taken, start = [], time.monotonic()
        while not all(attack.done() for attack in attacks) and time.monotonic() - start < 10:
            began = time.monotonic()
            assert service.post("/v1/search", {"query": "notes about bees"}).status_code == 200
            taken.append(time.monotonic() - began)
        answers = [attack.result() for attack in attacks]
        assert [one.status_code for one in answers] == [504] * 4, [one.text[:300] for one in answers]
    assert len(taken) >= 5 and max(taken) < 1.5
    hurried.rests()


def test_limits_count_what_is_computed(service: Service) -> None:
    for rerank in ("cross-encoder", "late-interaction"):  # whose token vectors are not stored
        found = service.post("/v1/search/batch", {"queries": QUERIES, "rerank": rerank, "k": 1})
        assert found.status_code == 413 and "limits.reranked" in found.json()["error"]["message"]
        assert "12,800" in found.json()["error"]["message"]
    assert (
        service.post("/v1/search/batch", {"queries": QUERIES, "k": 1, "mode": "lexical"}).status_code == 200
    )


@pytest.mark.parametrize(
    ("rerank", "stored", "most", "limit"),
    [
        ("cross-encoder", True, 2, "limits.reranked"),
        ("late-interaction", False, 2, "limits.reranked"),
        ("late-interaction", True, 100, "limits.compared"),
    ],
)
def test_each_second_stage_has_the_limit_of_what_it_costs(
    rerank: Any, stored: bool, most: int, limit: str
) -> None:
    manifest = Manifest.model_construct(token_codec=["codec"] if stored else [])
    options = Options(1, "dense", rerank, SearchSettings(rerank_depth=1_000))
    read = computed(Limits(), options, most, manifest)
    assert read == (0 if limit == "limits.compared" else 2_000)
    with pytest.raises(TooLarge, match=limit):
        computed(Limits(), options, most + 1, manifest)
    assert computed(Limits(), replace(options, rerank="none"), 10_000, manifest) == 0


@pytest.mark.parametrize("name", ["texts by cross-encoder", "embeddings", "answer", "explained"])
def test_an_answer_comes_when_the_time_is_over(service: Service, name: str) -> None:
    path, asked = REQUESTS[name]
    asked = {**asked, "k": 40} if "explain" in asked else asked
    service.post(path, {**asked, "timeout_ms": 200})  # what is loaded at first use is loaded to its end
    start = time.monotonic()
    found = service.post(path, {**asked, "timeout_ms": 50})  # a fast machine needs 80 for an answer
    assert found.status_code == 504, found.text[:300]
    assert time.monotonic() - start < 0.5
