"""Records that cost much more than they weigh are rejects, in bounded memory and time."""

import bz2
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from pipelines.sources.document_format import refusing
from pipelines.sources.documents import Reject
from pipelines.sources.files.streams import zstd
from pipelines.sources.formats.markdown import _heading
from retrieval.errors import StorageError
from tests.tools.samples.source_samples import COMPRESS, jsonl, parquet, read_all

GOOD = b'{"id": "good", "text": "fine"}\n'
MANY = 8_100_000
EXPAND = "expand more than 1000 times"

CSV = b"id,text\ngood,fine\n"


def _array(item: bytes, count: int) -> bytes:
    return GOOD + b'{"text": "x", "a": [' + item * count + b"0]}\n"


RECORDS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "JSON of lists": ("a.jsonl", lambda: _array(b"[],", MANY), "values"),
    "JSON of objects": ("a.jsonl", lambda: _array(b'{"a":1},', MANY // 2), "values"),
    "JSON of numbers": ("a.jsonl", lambda: _array(b"0,", MANY), "values"),
    "JSON nested deeply": ("a.jsonl", lambda: GOOD + b'{"text":' + b"[" * 10_000_000, "values|depth"),
    "a number of many digits": ("a.jsonl", lambda: GOOD + b'{"id": ' + b"9" * 10_000_000 + b"}", "JSON|text"),
    "CSV of cells": ("a.csv", lambda: CSV + b"," * MANY, "values"),
    "CSV of cells in lines": ("a.csv", lambda: CSV + b'"x' + (b'","' * 999 + b"\n") * 9000, "values|columns"),
    "a long title": ("a.jsonl", lambda: GOOD + jsonl([{"title": "t" * 20_000, "text": "x"}]), "the title is"),
    "bzip2 of newlines": ("a.jsonl.bz2", lambda: bz2.compress(GOOD + b"\n" * 50_000_000), EXPAND),
    "bzip2 of one line": ("a.jsonl.bz2", lambda: bz2.compress(GOOD + b"x" * 50_000_000), EXPAND),
    "Zstandard of newlines": ("a.jsonl.zst", lambda: zstd.compress(GOOD + b"\n" * 50_000_000), EXPAND),
    "Zstandard of one CSV line": ("a.csv.zst", lambda: zstd.compress(CSV + b"x" * 50_000_000), EXPAND),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_costs_at_worst_itself(tmp_path, name: str) -> None:
    file, make, words = RECORDS[name]
    (tmp_path / file).write_bytes(make())
    before = time.monotonic()
    documents, rejects = read_all(tmp_path, metadata="none")
    assert time.monotonic() - before < 60
    assert documents[0].doc_id == "good"
    assert rejects
    assert {r.source for r in rejects} == {file}
    assert any(word in rejects[0].reason for word in words.split("|")), rejects[0].reason


def test_many_values_are_refused_before_memory_is_taken(tmp_path) -> None:
    line = b'{"text": "x", "a": [' + b"[]," * MANY + b"[]]}\n"
    (tmp_path / "a.jsonl").write_bytes(GOOD + line)
    tracemalloc.start()
    try:
        read_all(tmp_path, metadata="none")
        assert tracemalloc.get_traced_memory()[1] < 4 * len(line)
    finally:
        tracemalloc.stop()


def test_ordinary_long_records_are_documents(tmp_path) -> None:
    prose = "Some words, and some more, of a long book [sic]: it goes on. " * 500_000
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": prose, "tags": list(range(10_000))}]))
    (tmp_path / "b.csv").write_bytes(b'id,text\nb,"' + prose.encode() + b'"\n')
    documents, rejects = read_all(tmp_path, metadata="none")
    assert rejects == []
    assert [d.text for d in documents] == [prose, prose]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_ordinary_compression_is_read_whole(tmp_path, suffix: str) -> None:
    words = [" ".join(f"{i * j % 9973} the same words again" for j in range(500)) for i in range(2000)]
    rows = [{"id": i, "text": text} for i, text in enumerate(words)]  # 26 MB
    (tmp_path / f"a.jsonl{suffix}").write_bytes(COMPRESS[suffix](jsonl(rows)))
    documents, rejects = read_all(tmp_path)
    assert (len(documents), rejects) == (2000, [])


MEMBERS = {".gz": 60_000, ".bz2": 40_000, ".zst": 40_000}


@pytest.mark.parametrize("suffix", MEMBERS)
@pytest.mark.parametrize("format", ["jsonl", "csv", "txt"])
def test_many_members_take_time_in_proportion(tmp_path, format: str, suffix: str) -> None:
    start, end = {"jsonl": (GOOD + b'{"text": "', b'"}\n'), "csv": (CSV + b'1,"', b'"\n'), "txt": (b"", b"")}[
        format
    ]
    members = [start, *[b"x", b""] * (MEMBERS[suffix] // 2), end]
    pack = {piece: COMPRESS[suffix](piece) for piece in set(members)}
    (tmp_path / f"a.{format}{suffix}").write_bytes(b"".join(pack[piece] for piece in members))
    before = time.monotonic()
    documents, rejects = read_all(tmp_path, metadata="none")
    assert time.monotonic() - before < 15
    assert rejects == []
    assert documents[-1].text == "x" * (MEMBERS[suffix] // 2)


@pytest.mark.parametrize("suffix", MEMBERS)
def test_what_stands_before_damage_among_small_members_is_read(tmp_path, suffix: str) -> None:
    whole = b"".join(COMPRESS[suffix](jsonl([{"id": i, "text": "t"}])) for i in range(20))
    (tmp_path / f"a.jsonl{suffix}").write_bytes(whole[:-9])
    documents, rejects = read_all(tmp_path)
    assert [d.doc_id for d in documents[:19]] == [str(i) for i in range(19)]
    assert "truncated" in rejects[0].reason


_LONG = 1100
SLOW: dict[str, Callable[[], str]] = {
    "blanks in headings": lambda: ("# " + " " * _LONG + "x" + " " * 50 + "\n") * 2000,
    "number signs": lambda: ("# " + "# " * (_LONG // 2) + "x\n") * 2000,
    "fences": lambda: "```" * 400 + "\n" + "~~~\n" * 2000,
    "front matter": lambda: "---\n" + "--- x\n" * 3000,
    "front matter of blanks": lambda: "---" + " " * 10_000_000 + "\n---" + " " * 10_000_000 + "x",
    "titles": lambda: "---\n" + ("title" + " " * 5000 + "\n") * 3 + "---\n",
    "underlines": lambda: ("x\n" + "=" * _LONG + " " * 90 + "x\n") * 1000,
    "one line": lambda: "#" * 50_000_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_markdown_takes_time_in_proportion(tmp_path, name: str) -> None:
    (tmp_path / "a.md").write_text(SLOW[name]())
    before = time.monotonic()
    documents, rejects = read_all(tmp_path)
    assert (len(documents), rejects) == (1, [])
    assert time.monotonic() - before < 5


HEADINGS = {
    "# A": "A", "## A ##": "A", "# A#": "A#", "#\tA b  # \t": "A b", "# C# ##": "C#", "####### A": "",
}  # fmt: skip


@pytest.mark.parametrize(("line", "title"), HEADINGS.items())
def test_headings(line: str, title: str) -> None:
    assert _heading(f"\n{line}\n") == title


def test_a_time_zone_that_nobody_knows_rejects_its_rows(tmp_path) -> None:
    time_zone = pa.array([0, 1], pa.timestamp("us", "Nowhere/Atlantis"))
    parquet(tmp_path / "a.parquet", pa.table({"id": ["1", "2"], "text": ["a", "b"], "when": time_zone}))
    (tmp_path / "b.jsonl").write_bytes(GOOD)
    documents, rejects = read_all(tmp_path, metadata={"when": "date"})
    assert [d.doc_id for d in documents] == ["good"]
    assert [(r.source, r.position) for r in rejects] == [("a.parquet", 0), ("a.parquet", 1)]
    assert "metadata field when: a value out of range" in rejects[0].reason


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), KeyError("x"), AssertionError()])
def test_what_a_library_does_not_foresee_is_a_reject(error: Exception) -> None:
    def items() -> Iterator[tuple[int, dict[str, str]]]:
        yield 7, {"text": "fine"}
        raise error

    record, found = refusing("a.x", items())
    assert record == (7, {"text": "fine"})
    assert isinstance(found, Reject)
    assert (found.source, found.position) == ("a.x", 7)
    assert type(error).__name__ in found.reason


def test_trouble_with_storage_is_no_reject() -> None:
    def items() -> Iterator[tuple[int, dict[str, str]]]:
        yield 7, {"text": "fine"}
        raise StorageError("gone")

    with pytest.raises(StorageError, match="gone"):
        list(refusing("a.x", items()))
