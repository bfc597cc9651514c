"""The generator behind an endpoint of OpenAI's shape: a real server, and some that misbehave."""

import asyncio
import json
import math
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
from retrieval.generation.generators import Draft, model_folder
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
    for file in model_folder(None).iterdir():
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


def completion(*tokens: tuple[str, float], finish: str = "stop", offered: bool = True) -> str:
    """A chat completion of these tokens and log-probabilities."""
    listed = [{"token": text, "logprob": value} for text, value in tokens]
    choice = {
        "message": {"role": "assistant", "content": "".join(text for text, _ in tokens)},
        "finish_reason": finish, "logprobs": {"content": listed} if offered else None,
    }  # fmt: skip
    return json.dumps({"choices": [choice]})


def drafted(body: str, written: str = "") -> Draft:
    with server(reply(200, body)) as url:
        one = generator(url)
        return asyncio.run(one.draft(prompt("?", one), written, max_tokens=40, temperature=0, stop=()))


def test_a_draft_is_the_first_sentence_with_its_probabilities() -> None:
    found = drafted(
        completion(("In", -0.1), (" Cremona", -0.7), (".", 0.0), (" And", -1.0), (" more.", -2.0))
    )
    assert found.text == "In Cremona." and not found.ended
    assert [token.text for token in found.tokens] == ["In", " Cremona", "."]
    assert found.tokens[1].probability == pytest.approx(math.exp(-0.7))
    assert drafted(completion(("In", -0.1), (" Cremona.", -0.7))).ended
    assert not drafted(completion(("In", -0.1), (" Cremona", -0.7), finish="length")).ended
    assert drafted(completion()) == Draft("", (), True)


def test_without_logprobs_there_is_no_draft() -> None:
    with pytest.raises(ConfigError, match="offers no logprobs"):
        drafted(completion(("In Cremona.", -0.1), offered=False))
    for body in (
        "{}",
        "no",
        '{"choices": [1]}',
        '{"choices": [{"message": {}, "logprobs": {"content": 3}}]}',
    ):
        with pytest.raises(GenerationError):
            drafted(body)


def test_what_is_written_already_is_told_to_the_endpoint() -> None:
    seen: list[bytes] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.sent)  # type: ignore[attr-defined]
        reply(200, completion(("On.", -0.1)))(request)

    with server(handle) as url:
        one = generator(url)
        asyncio.run(one.draft(prompt("?", one), "It began.", max_tokens=9, temperature=0, stop=()))
    asked = json.loads(seen[0])
    before, last = asked["messages"][-2:]
    assert before == {"role": "assistant", "content": "It began."} and last["role"] == "user"
    assert asked["logprobs"] is True and asked["max_tokens"] == 9
