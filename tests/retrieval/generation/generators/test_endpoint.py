"""The generator behind an endpoint of OpenAI's shape: a real server, and some that misbehave."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx2
import pytest

from retrieval.errors import ConfigError, GenerationError
from retrieval.generation.generators import local_model
from retrieval.generation.generators.endpoint import OpenAIGenerator
from retrieval.generation.kinds.openai import open_openai
from retrieval.generation.settings import GenerationSettings
from tests.tools.samples.generation_tools import collect, prompt, reply, server, write

TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}Answer:"


def generator(url: str, **values: object) -> OpenAIGenerator:
    settings = {"kind": "openai", "base_url": url, "model": "m", "timeout_s": 30, **values}
    return open_openai(GenerationSettings.model_validate(settings), None)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model of `transformers serve` with Gemma, which needs a chat template for it."""
    folder = tmp_path_factory.mktemp("gemma")
    for file in local_model.gemma_folder().iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        Path(sys.executable).parent / "transformers",
        "serve",
        folder,
        "--host",
        "127.0.0.1",
        "--port",
        port,
    ]
    server = subprocess.Popen([*map(str, command)], env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        for _ in range(240):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except httpx2.HTTPError:
                assert server.poll() is None, "the server ended"
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        server.terminate()
        server.wait(20)


def test_a_real_server_streams_an_answer_and_keeps_to_max_tokens(real: tuple[str, str]) -> None:
    url, model = real
    asked = generator(url, model=model)
    question = prompt("When did the 1973 oil crisis begin?", asked)
    deltas = asyncio.run(collect(asked.stream(question, max_tokens=12, temperature=0, stop=[])))
    assert len(deltas) > 2 and "1973" in "".join(deltas)
    assert len(write(asked, question, max_tokens=3)) < len("".join(deltas))


def test_a_real_server_refuses_another_model(real: tuple[str, str]) -> None:
    asked = generator(real[0], model="no/such-model")
    with pytest.raises(GenerationError, match="answered 4"):
        write(asked, prompt("Who?", asked))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, '{"error": "bad key sk-very-secret"}', "answered 401"),
        (429, "busy", "ask again later"),
        (500, "x" * 100_000, "answered 500"),
        (307, "", "answered 307"),
        (200, "<html>hello</html>", "broke off"),
        (200, "data: [1, 2]\n\n", "no chat completion"),
        (200, 'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', "broke off"),
        (200, 'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (200, "data: " + "x" * 2_000_000, "over 1,000,000"),
    ],
)
def test_what_goes_wrong_at_an_endpoint_is_said_without_the_key(
    status: int, body: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    with server(reply(status, body)) as url:
        asked = generator(url, api_key_env="A_KEY")
        with pytest.raises(GenerationError, match=words) as raised:
            write(asked, prompt("Who?", asked))
    assert "sk-very-secret" not in str(raised.value) + repr(asked) + repr(vars(asked))
    assert len(str(raised.value)) < 1_000


def test_the_key_is_sent_and_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["Authorization"])
        reply(200, 'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n')(request)

    monkeypatch.setenv("A_KEY", "sk-1")
    with server(handle) as url:
        asked = generator(url, api_key_env="A_KEY")
        assert write(asked, prompt("Who?", asked)) == "Hi"
    assert seen == ["Bearer sk-1"]
    monkeypatch.delenv("A_KEY")
    with pytest.raises(ConfigError, match="A_KEY"):
        generator("http://127.0.0.1:1/v1", api_key_env="A_KEY")


def test_silence_and_nobody_there_are_said() -> None:
    with server(lambda _request: time.sleep(3)) as url:
        asked = generator(url, timeout_s=0.3)
        with pytest.raises(GenerationError, match="silent"):
            write(asked, prompt("Who?", asked))
    asked = generator("http://127.0.0.1:9/v1")
    with pytest.raises(GenerationError, match="cannot be reached"):
        write(asked, prompt("Who?", asked))


def test_a_reader_that_leaves_closes_the_connection_within_two_seconds() -> None:
    left = threading.Event()

    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(200):
                request.wfile.write(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
                request.wfile.flush()
                time.sleep(0.05)
        except OSError:
            left.set()

    async def leave(asked: OpenAIGenerator) -> None:
        stream = asked.stream(prompt("Who?", asked), max_tokens=9, temperature=0, stop=[])
        await anext(stream)
        await stream.aclose()

    with server(handle) as url:
        asyncio.run(leave(generator(url)))
        assert left.wait(2)
