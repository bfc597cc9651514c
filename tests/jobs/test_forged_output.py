"""Text of a corpus, an index or a model cannot forge what commands print, stream, or write by lines."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from jobs.evaluation.measuring.runs import write_qrels, write_run
from jobs.harmless import BlockWriter, block, field, lines
from jobs.terminal import show
from retrieval.client import Client
from retrieval.serve.logs import log
from retrieval.storage.store import Store
from retrieval.text import printable_line
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.generation_tools import server
from tests.tools.serving.serve_tools import serving

BREAKS = ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
STEERING = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x08\x08",
    "\u202e",
    "\u2066",
    "\u200e",
    "\x00",
    "\ufeff",
]
SURROGATES = "\ud800\udfff"
FALSE_HIT = "1. FORGED  score 9.9999"
HOSTILE = "".join(f"{end}{FALSE_HIT}" for end in BREAKS) + "".join(STEERING)
ODD = "x".join([*BREAKS, *STEERING])


def _is_harmless(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\u200c\u200d" for letter in text)


@pytest.mark.parametrize("letter", [*BREAKS, *STEERING, *SURROGATES, "\t", "\u00a0", "\U000e0041"], ids=ascii)
def test_one_line_stays_one_printable_line(letter: str) -> None:
    text = f"a{letter}{FALSE_HIT}"
    for told in (printable_line(text), field(text)):
        assert told.isprintable() and len(told.splitlines()) == 1
        told.encode()
    assert all(one.startswith("  ") for one in lines(f"first\n{text}").splitlines()[1:])
    assert all(one.startswith("   ") for one in block(text, "   ", 40))


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("  two  spaces ", "naïve 東京 😀", "👩\u200d💻", "[bold]x[/bold] :warning:", "e\u0301"):
        assert printable_line(text) == text
    assert printable_line("e" + "\u0301" * 500) == "e" + "\u0301" * 8
    assert field(" a \n b ") == "a b" and cell_len(field("東" * 300)) <= 200


def test_blocks_keep_within_their_columns() -> None:
    for text in ("word " * 99, "x" * 500, "東京" * 200, f"{' ' * 78}{FALSE_HIT}", "a\n\n\nb"):
        for width in (16, 79, 80):
            assert all(one.startswith("   ") and cell_len(one) <= width for one in block(text, "   ", width))


@pytest.mark.parametrize("width", [None, 20, 80])
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_a_text_in_pieces_is_a_block_too(width: int | None, size: int) -> None:
    text = f"An answer.{HOSTILE} {'y' * 300} {'東' * 99} \r\n\r\n{FALSE_HIT}\n"
    written: list[str] = []
    writer = BlockWriter(written.append, "  ", width)
    for start in range(0, len(text), size):
        writer.feed(text[start : start + size])
    writer.finish()
    told = "".join(written)
    assert _is_harmless(told) and all(one.startswith("  ") or not one for one in told.split("\n"))
    assert width is None or all(cell_len(one) <= width for one in told.split("\n"))


def test_a_false_result_of_many_lines_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    show(f"files damaged: 1{HOSTILE}")
    assert [one for one in capsys.readouterr().out.splitlines() if not one.startswith("  ")] == [
        "files damaged: 1"
    ]


@pytest.fixture(scope="module")
def index(build: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of which one document tries to forge output in all that it has."""
    root = tmp_path_factory.mktemp("forged")
    text = f"The kettle of Zorn was made in 1843.{HOSTILE} It is red."
    hostile = {
        "_id": f"id{HOSTILE}",
        "title": f"Kettle{HOSTILE}{' ' * 60}{FALSE_HIT}",
        "text": text,
        "lang": f"en{HOSTILE}",
    }
    write_jsonl(root / "corpus" / "c.jsonl", [*make_documents(20), hostile])
    build(root / "corpus", root / "index")
    return root / "index"


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("more", [[], ["--explain"]])
def test_a_document_prints_no_line_of_its_own(index: Path, more: list[str]) -> None:
    told = _run("search", index, "kettle of Zorn", "-k", 3, *more).stdout
    assert _is_harmless(told)
    outside = [one for one in told.split("\n") if one and not one.startswith("   ")]
    assert [one[:3] for one in outside if re.match(r"\d+\. ", one)] == ["1. ", "2. ", "3. "]
    assert len([one for one in outside if "FORGED" in one]) == 1  # in the title, behind its own beginning
    assert outside[0].startswith("1. Kettle 1. FORGED")


def test_an_answer_prints_no_line_of_its_own(index: Path) -> None:
    told = _run("ask", index, "When was the kettle of Zorn made?").stdout
    assert _is_harmless(told) and "1843" in told
    outside = [one for one in told.split("\n") if one and not one.startswith("  ")]
    assert all(one.startswith(("[1] Kettle", "[2] ", "[3] ", "the passages")) for one in outside), outside


@pytest.mark.parametrize("command", ["search", "ask"])
def test_json_is_one_line_that_holds_every_letter(index: Path, command: str) -> None:
    told = _run(command, index, "When was the kettle of Zorn made?", "--json").stdout
    assert told.isascii() and told.count("\n") == 1 and told.endswith("}\n")
    found = json.loads(told)
    own = next(item for item in (found.get("hits") or found["citations"]) if item["doc_id"].startswith("id"))
    assert own["doc_id"] == f"id{HOSTILE}"


def test_a_terminal_breaks_no_line_where_a_hit_would_begin(index: Path) -> None:
    """On a terminal of 80 columns: the rest of a longer line would stand at its edge."""
    reader, writer = os.openpty()
    words = [sys.executable, "-m", "jobs", "search", str(index), "kettle of Zorn", "-k", "2"]
    process = subprocess.Popen(
        words, stdout=writer, stderr=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    )
    os.close(writer)
    data = b""
    while True:
        try:
            data += os.read(reader, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(reader)
    assert process.wait(60) == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", data.decode())
    rows = shown.split("\r\n")
    assert all(cell_len(row) <= 80 for row in rows) and _is_harmless("".join(rows))
    assert [row[:3] for row in rows if re.match(r"\d+\. ", row)] == ["1. ", "2. "]


def test_names_of_files_print_no_line_of_their_own(build: Any, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    write_jsonl(folder / "a.jsonl", make_documents(10))
    for number, end in enumerate(BREAKS):
        (folder / f"{number}{end}{FALSE_HIT}.txt").write_text("x")
        (folder / f"{number}{FALSE_HIT}.{end}{FALSE_HIT}").write_text("x")
    built = build(folder, tmp_path / "index", corpus={"metadata": "none"})
    assert built.left_out == {"odd name": 2 * len(BREAKS)}
    told = _run("status", tmp_path / "index").stdout
    assert _is_harmless(told) and "22 odd names" in told and "FORGED" not in told


def test_a_status_that_somebody_wrote_is_indented(tmp_path: Path) -> None:
    values = {
        "state": "failed", "stage": f"read{HOSTILE}", "documents": 1, "rejected": 1, "passages": 1,
        "truncated": 0, "tasks": None, "error": f"x{HOSTILE}", "resume": f"y{HOSTILE}",
        "failures": {f"k{HOSTILE}": f"r{HOSTILE}"}, "reject_reasons": {f"z{HOSTILE}": 3},
    }  # fmt: skip
    Store(str(tmp_path)).put_json("progress.json", values)
    told = _run("status", tmp_path).stdout
    outside = [one for one in told.splitlines() if not one.startswith("  ")]
    assert _is_harmless(told) and not any(one.startswith("1.") for one in outside)
    assert len(outside) == 7


@pytest.mark.parametrize("letter", [*BREAKS, "\x1b[2J", "\u202e", "\x07", "\ud800"])
def test_the_log_of_the_service_has_no_line_of_its_own(letter: str, capsys: Any) -> None:
    """Whatever a manifest, a request or a generator puts into a message or a traceback."""
    forged = f"it is{letter}ERROR 2026 forged"
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)  # a Ray that was started before may have silenced all of its loggers
    try:
        log.error("a version is refused: %s", forged)
        log.error(forged)
        try:
            raise ValueError(forged)
        except ValueError:
            log.exception("a search failed: %s", forged)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    told = capsys.readouterr().err
    lines = told.split("\n")
    assert [line for line in told.splitlines() if line.startswith("ERROR 2026")] == []
    assert len([line for line in lines if line.startswith("ERROR ")]) == 3
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith(("ERROR ", "  ")) for line in lines if line)


def test_ids_forge_no_line_of_a_run_file(tmp_path: Path) -> None:
    ids = [f"a{end}q9 Q0 d9 1 9.9 forged" for end in [*BREAKS, " ", "\t", "\x00", "\x1f", "\u3000"]] + [
        "",
        "\ud800",
    ]
    run = {one: {other: 1.0 / n for n, other in enumerate(ids, 1)} for one in ids}
    write_run(tmp_path / "run", run, "tag")
    write_qrels(tmp_path / "qrels", {one: dict.fromkeys(ids, 1) for one in ids})
    for name, columns in (("run", 6), ("qrels", 4)):
        text = (tmp_path / name).read_text("utf-8")
        assert [len(one.split()) for one in text.split("\n")[:-1]] == [columns] * len(ids) ** 2
        assert len(text.splitlines()) == len(ids) ** 2 and text.replace("\n", "").isprintable()


ODD_ANSWER = ["It was ma", "de in 1843 [1]. A\ud83d", "\ude00 b\ud800", ODD, " c\udfff"]


class _Endpoint:
    """Writes an answer with lone surrogates and every odd letter."""

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for piece in ODD_ANSWER:
            event = {"choices": [{"delta": {"content": piece}}]}
            request.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        request.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture(scope="module")
def client(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a service over the index, whose generator is hostile."""
    with server(_Endpoint()) as url:
        config = f'generation: {{kind: openai, model: m, base_url: "{url}"}}\n'
        with (
            serving(index, tmp_path_factory.mktemp("service"), config) as service,
            Client(service.url) as client,
        ):
            yield client


def test_a_stream_survives_passages_and_a_generator(client: Client) -> None:
    *pieces, answer = client.stream("When was the kettle of Zorn made?")
    assert not isinstance(answer, str)
    assert "".join(map(str, pieces)) == answer.answer
    assert "A😀 b\ufffd" in answer.answer and "\ufffd" in answer.answer[-2:]
    assert "\u2028" in answer.answer and "\x85" in answer.answer
    assert any(citation.doc_id == f"id{HOSTILE}" for citation in answer.citations)
    assert client.answer("When was the kettle of Zorn made?").answer == answer.answer
    assert client.search("kettle of Zorn").hits[0].doc_id == f"id{HOSTILE}"
