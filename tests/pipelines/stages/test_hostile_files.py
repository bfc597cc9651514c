"""A build over ordinary files and bombs indexes the ordinary ones and names each bomb."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.tools.build_tools import passages
from tests.tools.hostile import hostile_files
from tests.tools.samples.source_samples import COMPRESS, jsonl, pdf

MEMORY = 200_000_000
ORDINARY = {
    "a.html": b"<title>A</title><p>Bees <b>dance</b> to tell where flowers are.",
    "b.pdf": pdf(["Glaciers carve valleys."], title="B"),
    "c.md": b"# C\n\nComets have tails of dust.",
    "d.txt": b"Rivers flow to the sea.",
    "e.jsonl": jsonl([{"_id": f"e{i}", "text": f"Bridge number {i} spans a river."} for i in range(40)]),
    "z.html": b"<p>Clocks strike the hour, after all the bombs.",
}
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "forms.pdf": (lambda: hostile_files.laughs(12, 10), "extract_memory"),
    "pages.pdf": (lambda: hostile_files.page_bomb(50_000), "extract_seconds|max_document_bytes"),
    "text.pdf": (hostile_files.text_bomb, "extract_memory"),
    "zeros.pdf": (hostile_files.zeros_bomb, "extract_memory"),
    "broken.pdf": (lambda: pdf(["x"])[:300], "cannot be read|without text"),
    "attributes.html": (
        lambda: b"<p " + b" ".join(b"a%d=1" % i for i in range(250_000)) + b">x", "extract_seconds"
    ),
    "elements.html": (lambda: b"<p>" * 1_600_000 + b"x", "extract_memory"),
    "deep.html": (lambda: b"<div>" * 100_000 + b"x", "nested too deeply"),
    "value.parquet": (hostile_files.parquet_bomb, "longer than max_document_bytes|expand more than"),
    "gz.txt.gz": (lambda: COMPRESS[".gz"](b"x" * 10**8), "max_document_bytes"),
    "lines.jsonl.bz2": (lambda: COMPRESS[".bz2"](b"\n" * 10**8), "1000 times"),
    "metadata.jsonl": (
        lambda: jsonl([{"_id": "m", "note": "m" * 1_000_000, "text": "Violins sing. " * 9000}]),
        "passages repeat",
    ),
}  # fmt: skip
LARGE_BUT_ORDINARY = {
    "padding.html": b'<p style="padding-left: %sem">Volcanoes erupt.' % (b"9" * 400),
    "cell.html": b"<table><tr><td>" + b"Word " * 5_000 + b"<td>y" + b"<tr><td>a<td>b" * 2000,
    "nested.html": b"<div style='padding-left: 9999em'>" * 900 + b"Nested text is read.",
}  # fmt: skip


def test_a_build_survives_bombs(build: Callable[..., Any], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, data in {**ORDINARY, **LARGE_BUT_ORDINARY}.items():
        (corpus / name).write_bytes(data)
    for name, (make, _) in BOMBS.items():
        (corpus / name).write_bytes(make())
    settings = {
        "extract_memory": MEMORY, "extract_seconds": 2, "max_document_bytes": 5_000_000,
        "max_reject_share": 1,
    }  # fmt: skip
    with _peaks() as peaks:
        manifest = build(corpus, tmp_path / "index", corpus=settings).manifest
    assert max(peaks.values()) < MEMORY + 30_000_000  # mapped libraries are no private memory

    rejects = [
        json.loads(line)
        for file in (tmp_path / "index").rglob("*.rejects.jsonl")
        for line in file.read_text().splitlines()
    ]
    reasons = {reject["source"]: reject["reason"] for reject in rejects}
    assert set(reasons) == set(BOMBS)
    for name, (_, words) in BOMBS.items():
        assert any(word in reasons[name] for word in words.split("|")), (name, reasons[name])
    found = set(passages(tmp_path / "index")["source"])
    assert found == {*ORDINARY, *LARGE_BUT_ORDINARY}
    assert manifest.documents == 40 + len(ORDINARY) - 1 + len(LARGE_BUT_ORDINARY)


class _peaks:
    """Largest resident memory of each extraction process of this machine, by its id."""

    def __enter__(self) -> dict[int, int]:
        self.found: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            for process in psutil.process_iter():
                try:
                    if any("pipelines.extraction.worker" in part for part in process.cmdline()):
                        size = process.memory_info().rss
                        self.found[process.pid] = max(self.found.get(process.pid, 0), size)
                except psutil.Error:
                    continue
            time.sleep(0.02)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_bomb_counts_as_a_rejected_document(
    build: Callable[..., Any], tmp_path: Path, share: float
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.html").write_bytes(ORDINARY["a.html"])
    (corpus / "b.html").write_bytes(b"<div>" * 100_000 + b"x")
    settings = {"max_reject_share": share}
    if share:
        manifest = build(corpus, tmp_path / "index", corpus=settings).manifest
        assert (manifest.documents, manifest.rejected) == (1, 1)
    else:
        with pytest.raises(Exception, match=r"b\.html, at 0: the HTML is nested too deeply"):
            build(corpus, tmp_path / "index", corpus=settings)
