"""Server-sent events by the standard's line ends alone, in client and playground; whole Unicode."""

import asyncio
import json
import random
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

from retrieval.client import Client, ServiceError
from retrieval.generation.kinds.openai import open_openai
from retrieval.generation.settings import GenerationSettings
from retrieval.serve.http.guard import to_json
from retrieval.text.event_stream import Event, EventReader, LineReader, split_lines
from retrieval.text.surrogates import join_surrogate_stream, join_surrogates
from tests.tools.samples.generation_tools import collect, prompt, server, write

# What str.splitlines takes for the end of a line, and other letters that parsers trip over.
ODD = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\x00j\u202ek\ufeffl😀m: data: x"
SSE_JS = Path(__file__).parents[3] / "retrieval/serve/http/playground/service/sse.js"
EVENTS = [
    ("token", {"text": ODD}),
    ("odd", {"text": "data: [DONE]\n\nevent: answer\rdata: {}"}),
    ("message", 7),
]


def _stream(end: str) -> bytes:
    named = [f"event: {name}{end}" if name != "message" else "" for name, _ in EVENTS]
    data = [json.dumps(value, ensure_ascii=False) for _, value in EVENTS]
    return "".join(f"{n}data: {d}{end}{end}" for n, d in zip(named, data, strict=True)).encode()


def _chunks(data: bytes, seed: int) -> list[bytes]:
    generator, found = random.Random(seed), []
    while data:
        size = generator.randrange(1, 9)
        found.append(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
def test_events_survive_any_line_end_and_any_chunks(end: str) -> None:
    for seed in range(50):
        reader = EventReader()
        found = [event for chunk in _chunks(_stream(end), seed) for event in reader.feed(chunk)]
        assert [(name, json.loads(data)) for name, data in found] == EVENTS


def test_fields_as_the_standard_has_them() -> None:
    stream = b"\xef\xbb\xbf: a comment\r\nid: 7\ndata\n\nevent:x\ndata:  two\ndata:lines\n\nevent: y\n\n"
    stream += b"data: cut off\n"
    assert list(EventReader().feed(stream)) == [Event("message", ""), Event("x", " two\nlines")]
    assert list(EventReader().feed(b"data: \xff\n\n")) == [Event("message", "\ufffd")]


def test_lines_without_end_are_bounded() -> None:
    for stream in (b"x" * 2_000, b"data: x\n" * 600, b"data\n" * 1_100):
        with pytest.raises(ValueError, match="more than 1,000 characters"):
            list(EventReader(1_000).feed(stream))
    reader = LineReader(1_000)
    with pytest.raises(ValueError, match="more than"):
        [reader.feed(b"x") for _ in range(1_001)]


def test_the_lines_of_a_whole_text() -> None:
    assert split_lines(f"{ODD}\r\n{ODD}\r{ODD}\n") == [ODD, ODD, ODD, ""]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
def test_the_playground_reads_the_same_events(end: str, tmp_path: Path) -> None:
    (tmp_path / "sse.mjs").write_text(SSE_JS.read_text("utf-8"), "utf-8")
    (tmp_path / "main.mjs").write_text(
        """import { readEvents } from "./sse.mjs";
        const chunks = JSON.parse(process.argv[2]).map((hex) => Buffer.from(hex, "hex"));
        const start = (to) => { chunks.forEach((chunk) => to.enqueue(new Uint8Array(chunk))); to.close(); };
        const body = new ReadableStream({ start });
        const found = [];
        for await (const { event, data } of readEvents({ body })) found.push([event, data]);
        console.log(JSON.stringify(found));"""
    )
    node = compute_driver_executable()[0]
    for seed in range(3):
        chunks = json.dumps([chunk.hex() for chunk in _chunks(_stream(end), seed)])
        done = subprocess.run(
            [node, str(tmp_path / "main.mjs"), chunks], capture_output=True, text=True, timeout=60, check=True
        )
        assert [tuple(event) for event in json.loads(done.stdout)] == EVENTS


def _answer() -> dict[str, object]:
    coverage = {"passages": 1, "searched": 1, "full": True, "missing": []}
    return {
        "question": ODD, "answer": ODD, "supported": True, "support": 1.0, "generator": "g",
        "extractive": False, "citations": [], "removed_citations": 0, "left_out": 0, "tokens": 1,
        "version": 1, "coverage": coverage, "timings_ms": {},
    }  # fmt: skip


def _serve(data: bytes, status: int = 200) -> AbstractContextManager[str]:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("content-type", "text/event-stream")
        request.end_headers()
        for chunk in _chunks(data, 1):
            request.wfile.write(chunk)

    return server(handle)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=repr)
def test_the_client_gives_every_letter_of_a_stream(end: bytes) -> None:
    lines = [b"event: passages", b"data: " + to_json({"hits": [ODD]}), b""]
    lines += [b"event: token", b"data: " + to_json({"text": ODD}), b""]
    lines += [b"event: answer", b"data: " + to_json(_answer()), b"", b""]
    with _serve(end.join(lines)) as url, Client(url, retries=0) as client:
        token, whole_answer = client.stream("why")
    assert token == ODD and not isinstance(whole_answer, str) and whole_answer.answer == ODD


@pytest.mark.parametrize(
    "data",
    [b"", b"event: token\ndata: {\n\n", b"event: token\ndata: []\n\n", b"event: answer\ndata: {}\n\n",
     b"event: error\ndata: {}\n\n", b"event: error\ndata: {\"error\": 1}\n\n", b"data: {}\n\n",
     b"event: token\ndata: " + b"[" * 100_000 + b"\n\n", b"\xff\xfe\x00"],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_what_is_no_answer_is_an_error_of_the_client(data: bytes) -> None:
    with _serve(data) as url, Client(url, retries=0) as client, pytest.raises(ServiceError):
        list(client.stream("why"))


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\ud83d", "\ude00b"], "a😀b"), (["\ud83d\ude00"], "😀"), (["\ud83d"], "\ufffd"),
        (["\ude00\ud83d"], "\ufffd\ufffd"), (["\ud83d", "x"], "\ufffdx"),
        (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"), (["a", "", "\udfff", ""], "a\ufffd"),
        ([ODD, "é"], ODD + "é"), ([], ""),
    ],
)  # fmt: skip
def test_surrogates_of_a_generator_are_paired_or_replaced(pieces: list[str], text: str) -> None:
    async def written() -> AsyncGenerator[str, None]:
        for piece in pieces:
            yield piece

    found = asyncio.run(collect(join_surrogate_stream(written())))
    assert "".join(found) == text and all(found) and join_surrogates("".join(pieces)) == text
    "".join(found).encode()


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"], ids=repr)
def test_an_endpoints_surrogates_are_replaced_where_they_enter(end: str) -> None:
    contents = [r"a\ud83d", r"\ude00b\ud800", "\u2028c\\u2028", r"\udfff", r"d\ud83d"]
    events = [f'data: {{"choices": [{{"delta": {{"content": "{content}"}}}}]}}{end}' for content in contents]
    with _serve("".join([*events, f"data: [DONE]{end}"]).encode()) as url:
        settings = GenerationSettings.model_validate({"kind": "openai", "model": "m", "base_url": url})
        asked = open_openai(settings, None)
        assert write(asked, prompt("why", asked)) == "a😀b\ufffd\u2028c\u2028\ufffdd\ufffd"


def test_json_of_the_service_is_one_line_whatever_it_holds() -> None:
    for value in ({"text": ODD + "\n\r"}, {"text": "\ud800"}, {"\ud800\n": ["\udfff\r\n"]}):
        data = to_json(value)
        assert b"\n" not in data and b"\r" not in data and json.loads(data) == value
