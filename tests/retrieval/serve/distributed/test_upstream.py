"""Generators that fail in all ways, and models that are gone: a client is told neither address nor folder."""

import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from retrieval.errors import GenerationError
from retrieval.generation.kinds.openai import open_openai
from retrieval.generation.settings import GenerationSettings
from retrieval.serve.errors import error_body
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.encoder_models import model_folder
from tests.tools.samples.generation_tools import prompt, write
from tests.tools.serving.serve_tools import Service, serving

QUESTION = {"question": "which note is about bees?", "k": 3}
INTERNAL = b"http://llm-7.internal.example:9000/v1 at /srv/llm/server.py line 3, 10.1.2.3"
HIDDEN = re.compile(
    r"internal|10\.1\.2|127\.0\.0\.1|:\d{4,5}/|/v1|/srv|/tmp|Traceback|models/|A_GENERATOR_KEY"
)
HEAD = b"HTTP/1.1 %s\r\nconnection: close\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "Bees [1]. "}}]}\n\n'
ANSWERS = {
    "500 that names its own address": HEAD % b"500 Oops" + INTERNAL,
    "404 that names its own address": HEAD % b"404 Not Found" + INTERNAL,
    "401": HEAD % b"401 Unauthorized" + INTERNAL,
    "no HTTP": b"\x15\x03\x01\x00\x02\x02\x16" + INTERNAL,
    "nothing": b"",
    "an error in its stream": HEAD % b"200 OK" + EVENT + b'data: {"error": "' + INTERNAL + b'"}\n\n',
    "what is no chat completion": HEAD % b"200 OK" + b"data: [" + INTERNAL + b"\n\n",
    "a stream that breaks off": HEAD % b"200 OK" + EVENT,
    "a redirect": HEAD % b"302 Found\r\nlocation: http://llm-7.internal.example:9000/" + INTERNAL,
}


@dataclass
class Upstream:
    """Says the same to everybody, whatever is asked, and closes the connection."""

    says: bytes = b""
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def run(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with closing(connection), suppress(OSError):
                    connection.settimeout(5)
                    connection.recv(100_000)
                    connection.sendall(self.says)


@pytest.fixture(scope="module")
def upstream(
    build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Upstream]]:
    """A service whose generator is that, and whose token encoder lies in the index itself."""
    folder, found = tmp_path_factory.mktemp("upstream"), Upstream()
    corpus = write_jsonl(folder / "corpus.jsonl", make_documents(30))
    model = model_folder(folder / "bare")
    build(corpus, folder / "index", model={"name": str(model)}, dense={"type": "flat"})
    threading.Thread(target=found.run, daemon=True).start()
    url = f"http://127.0.0.1:{found.listener.getsockname()[1]}/v1"
    config = f'{{generation: {{kind: openai, model: /srv/models/mine, base_url: "{url}", timeout_s: 5}}}}'
    with closing(found.listener), serving(folder / "index", folder, config) as service:
        yield service, found


def both(service: Service) -> list[str]:
    """Texts of an answer, plain and streamed, by our route and in OpenAI's shape."""
    found = []
    chat = {"messages": [{"role": "user", "content": "bees"}]}
    for path, asked in (("/v1/answer", QUESTION), ("/v1/chat/completions", chat)):
        answer = service.post(path, asked)
        assert answer.status_code == 502, answer.text
        assert answer.json()["error"]["message"] == "the generator failed"
        streamed = service.post(path, {**asked, "stream": True})
        assert streamed.status_code == 200 and "the generator failed" in streamed.text
        found += [answer.text, *(line for line in streamed.text.splitlines() if '"error"' in line)]
    return found


def test_a_generator_that_fails_gives_no_address_away(
    upstream: tuple[Service, Upstream], subtests: pytest.Subtests
) -> None:
    service, generator = upstream
    for name, says in ANSWERS.items():
        with subtests.test(name):
            generator.says = says
            for text in both(service):
                assert not HIDDEN.search(text), text
    assert "GenerationError: " in service.logs("ingress") and "llm-7.internal" in service.logs("ingress")
    assert not HIDDEN.search(service.get("/v1/index").text.replace("/v1/", ""))
    assert service.get("/v1/index").json()["generator"] == "openai: mine"
    assert service.get("/readyz").json()["problems"] == [], "searches do not need it"


def test_a_model_that_is_gone_gives_no_folder_away(upstream: tuple[Service, Upstream]) -> None:
    service, _ = upstream
    assert service.post("/v1/search", {"query": "bees"}).status_code == 200
    shutil.move(service.index / "models", service.index / "gone")
    try:
        for path, asked in (
            ("/v1/search", {"query": "bees", "rerank": "late-interaction"}),
            ("/v1/rerank", {"query": "bees", "passages": [{"text": "a bee"}]}),
        ):  # fmt: skip
            answer = service.post(path, asked)
            assert answer.status_code in (500, 503), answer.text
            assert not HIDDEN.search(answer.text), answer.text
            assert answer.json()["error"]["message"] in (
                "the index is damaged", "a model that this needs cannot be used",
            )  # fmt: skip
        assert service.post("/v1/search", {"query": "bees", "rerank": "none"}).status_code == 200
        assert service.get("/readyz").json()["ready"]
    finally:
        shutil.move(service.index / "gone", service.index / "models")
    assert service.post("/v1/search", {"query": "bees", "rerank": "late-interaction"}).status_code == 200


def test_a_generator_that_refuses_gives_no_address_away(upstream: tuple[Service, Upstream]) -> None:
    service, generator = upstream
    generator.listener.shutdown(socket.SHUT_RDWR)
    generator.listener.close()
    for text in both(service):
        assert not HIDDEN.search(text), text


def test_a_generator_without_the_tls_that_is_asked_for_gives_no_address_away() -> None:
    generator = Upstream(b"HTTP/1.1 400 Bad Request\r\n\r\n" + INTERNAL)
    threading.Thread(target=generator.run, daemon=True).start()
    url = f"https://127.0.0.1:{generator.listener.getsockname()[1]}/v1"
    asked = open_openai(GenerationSettings(kind="openai", model="m", base_url=url), None)
    with closing(generator.listener), pytest.raises(GenerationError, match="127.0.0.1") as caught:
        write(asked, prompt("which note is about bees?", asked))
    assert not HIDDEN.search(json.dumps(error_body(caught.value, "id-1")))
