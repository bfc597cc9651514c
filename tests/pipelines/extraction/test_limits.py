"""A document costs at most the memory and the time of its limits, and at worst itself."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from pipelines.extraction import frames
from pipelines.extraction.answers import BadData
from pipelines.extraction.process import Extractor, Limits
from retrieval.errors import StorageError
from tests.tools.hostile import hostile_files
from tests.tools.samples.source_samples import pdf

HTML, PDF = "pipelines.extraction.html", "pipelines.extraction.pdf"  # modules that parse
MB = 1_000_000
SMALL = Limits(memory=200 * MB, seconds=5, text_bytes=10 * MB)


@pytest.fixture
def small():
    extractor = Extractor(SMALL)
    yield extractor
    extractor.close()


def _pid(extractor: Extractor) -> int:
    assert extractor.extract(HTML, b"<title>t</title>fine")[:2] == ("t", "fine")
    assert extractor._process is not None
    return extractor._process.pid


MEMORY = {
    "PDF of one long page": (PDF, lambda: hostile_files.text_bomb(1_000_000)),
    "PDF of zeros deflated twice": (PDF, hostile_files.zeros_bomb),
    "PDF of forms in forms": (PDF, lambda: hostile_files.laughs(12, 10)),
    "HTML of many elements": (HTML, lambda: b"<br>" * 2_000_000),
    "HTML of cells": (HTML, lambda: b"<table><tr>" + b"<td>x" * 1_000_000),
    "HTML of wide characters": (HTML, lambda: "😀".encode() + b"x" * 60 * MB),
    "HTML longer than the memory": (HTML, lambda: b" " * 201 * MB),
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_has_a_limit(small: Extractor, name: str) -> None:
    parser, make = MEMORY[name]
    data = make()
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            for child in psutil.Process().children():
                try:
                    if any("extraction.worker" in part for part in child.cmdline()):
                        peak = max(peak, child.memory_info().rss)
                except psutil.Error:
                    continue
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(BadData, match=r"corpus\.extract_memory \(200000000 bytes\)"):
            small.extract(parser, data)
    finally:
        done.set()
        watcher.join()
    assert peak < SMALL.memory + 30 * MB  # mapped libraries are no private memory
    assert small.extract(HTML, b"<p>next")[:2] == ("", "next")


TIME = {
    "PDF of forms in forms": (PDF, lambda: hostile_files.laughs(12, 4)),
    "PDF of pages": (PDF, lambda: hostile_files.page_bomb(50_000)),
    "HTML of attributes": (HTML, lambda: b"<p " + b" ".join(b"a%d=1" % i for i in range(150_000)) + b">"),
}


@pytest.mark.parametrize("name", TIME)
def test_time_has_a_limit(name: str) -> None:
    extractor = Extractor(Limits(memory=2000 * MB, seconds=1.5, text_bytes=1000 * MB))
    parser, make = TIME[name]
    data = make()
    pid = _pid(extractor)
    before = time.monotonic()
    with pytest.raises(BadData, match=r"longer than corpus\.extract_seconds \(1\.5 s\)"):
        extractor.extract(parser, data)
    assert time.monotonic() - before < 3
    assert not psutil.pid_exists(pid)  # reaped
    assert extractor.extract(HTML, b"<p>next")[:2] == ("", "next")
    extractor.close()


def test_text_of_a_pdf_is_bounded_while_it_is_made(small: Extractor) -> None:
    with pytest.raises(BadData, match=r"longer than max_document_bytes \(1000000\)"):
        Extractor(Limits(200 * MB, 20, MB)).extract(PDF, hostile_files.page_bomb(50_000))


def test_one_process_takes_all_documents(small: Extractor) -> None:
    pid = _pid(small)
    for number in range(20):
        assert small.extract(HTML, b"<p>%d" % number)[1] == str(number)
        assert small.extract(PDF, pdf([f"page {number}"], title="t"))[:2] == ("t", f"page {number}")
        with pytest.raises(BadData, match="PDF that cannot be read"):
            small.extract(PDF, b"%PDF-1.4 nonsense")
    assert _pid(small) == pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_process_that_is_gone_costs_no_document(small: Extractor, number: int) -> None:
    pid = _pid(small)
    os.kill(pid, number)
    assert small.extract(HTML, b"<p>next")[:2] == ("", "next")
    assert _pid(small) != pid
    assert not psutil.pid_exists(pid)  # reaped


def test_a_crash_is_told(small: Extractor) -> None:
    """Killed in the middle of a document, twice: once in the used process, once in the fresh one."""
    _pid(small)
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.2):
            for child in psutil.Process().children():
                if child.pid == small._process.pid and child.cpu_times().user > 0.15:
                    child.send_signal(signal.SIGSEGV)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(BadData, match="its parser ended by SIGSEGV"):
            small.extract(PDF, hostile_files.page_bomb(50_000))
    finally:
        stop.set()
        killer.join()


def test_interrupted_reading_gives_no_answer_of_another_document(small: Extractor) -> None:
    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            small.extract(PDF, hostile_files.page_bomb(50_000))
    finally:
        signal.signal(signal.SIGALRM, old)
    assert small.extract(HTML, b"<p>next")[:2] == ("", "next")


PARENT = """
import sys, threading
from pipelines.extraction import Extractor, Limits
from tests.tools.hostile.hostile_files import page_bomb
extractor = Extractor(Limits(200_000_000, 60, 10**8))
extractor.extract("pipelines.extraction.html", b"<p>x")
print(extractor._process.pid, flush=True)
if sys.argv[1] == "busy":
    extractor.extract("pipelines.extraction.pdf", page_bomb(50_000))
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_the_process_ends_with_its_parent(state: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    child.wait(timeout=5)
    assert not child.is_running()


def test_the_process_knows_no_secrets(small: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    process = psutil.Process(_pid(small))
    assert "hidden" not in process.environ().values()
    assert process.cwd() == "/"


def test_documents_around_a_bomb_are_read_in_order(small: Extractor) -> None:
    bomb = b"<p>" * 1_600_000
    documents = [b"<p>0", b"<p>1", bomb, b"<p>3", b"<div>" * 2000, BadData("no data"), b"<p>6" + b" " * 10**6]
    found = list(small.extract_all(HTML, documents))
    assert [answer[:2] if isinstance(answer, tuple) else None for answer in found] == [
        ("", "0"), ("", "1"), None, ("", "3"), None, None, ("", "6"),
    ]  # fmt: skip
    for place, words in ((2, "extract_memory"), (4, "nested too deeply"), (5, "no data")):
        assert words in str(found[place])


def test_trouble_with_the_next_document_leaves_no_answer_behind(small: Extractor) -> None:
    def documents() -> Iterator[bytes]:
        yield from (b"<p>0", b"<p>1")
        raise StorageError("gone")

    with pytest.raises(StorageError, match="gone"):
        list(small.extract_all(HTML, documents()))
    assert small.extract(HTML, b"<p>next")[:2] == ("", "next")


def test_waiting_for_a_message_ends() -> None:
    parent, child = socket.socketpair()
    with parent:
        peer = frames.Peer(child)
        assert not peer.wait(0.05)
        frames.Peer(parent).send(b"x", b"head", b"body")
        assert peer.wait(5)
        assert [bytes(piece) for piece in peer.receive(100)] == [b"x", b"head", b"body"]
        peer.close()


@pytest.mark.parametrize("size", [0, 1, 65519, 65520, 65536, 200_000])
def test_messages_come_through_whatever_their_length(size: int) -> None:
    ours, theirs = socket.socketpair()
    body = os.urandom(size)
    with ours, theirs:
        sender = threading.Thread(
            target=lambda: [frames.Peer(ours).send(b"k", b"h" * i, body) for i in range(4)]
        )
        sender.start()
        peer = frames.Peer(theirs, 10)
        for i in range(4):
            assert [bytes(piece) for piece in peer.receive(size, 10)] == [b"k", b"h" * i, body]
        with pytest.raises(TimeoutError):
            frames.Peer(theirs, 0.05).receive(size, 0.05)
        sender.join()
        frames.Peer(ours).send(b"k", b"", b"x" * (size + 1))
        with pytest.raises(ValueError, match="a message of"):
            peer.receive(size, 10)
