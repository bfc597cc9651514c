"""Parquet is read within limits of memory and time, whatever its pages unfold to."""

import datetime
import decimal
import os
import signal
import struct
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.extraction.process import Limits, thread_extractor
from pipelines.sources.document_format import limits
from pipelines.sources.files.listing import list_files
from pipelines.sources.slice_reader import records
from pipelines.sources.slices import cut_slices
from tests.tools.samples.source_samples import ROWS, parquet, read_all

HTML = "pipelines.extraction.html"  # the module that parses
MB = 1_000_000
SMALL = {"extract_memory": 400 * MB, "max_document_bytes": 50 * MB, "metadata": "none"}


def _repeated(path: Path, value: str, rows: int, id_characters: int = 24_000) -> None:
    """One value in every row, stored once; the ids are what allows so much of it."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))
    table = pa.table({"id": [os.urandom(id_characters // 2).hex() for _ in range(rows)], "text": text})
    pq.write_table(table, path, compression="zstd", store_schema=False)


def _peak(settings: dict) -> int:
    """Most resident memory that the process of this thread has had, in bytes."""
    process = thread_extractor(limits(CorpusSettings(paths=["x"], **settings)))._process
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def test_a_long_value_in_every_row_is_read_in_pieces(tmp_path: Path) -> None:
    _repeated(tmp_path / "a.parquet", "word " * 2 * MB, 60)
    assert (tmp_path / "a.parquet").stat().st_size < 800_000
    corpus = CorpusSettings(paths=[str(tmp_path)], **SMALL)
    (whole,) = cut_slices(list_files(corpus).files, int(corpus.slice_bytes), {})
    read = [(row, len(record["text"])) for _, row, record in records(whole, corpus, {"id", "text"})]  # type: ignore[misc]
    assert read == [(i, 10 * MB) for i in range(60)]
    assert _peak(SMALL) < 450 * MB


def test_values_beyond_the_limit_are_rejects_of_their_rows(tmp_path: Path) -> None:
    table = pa.table({"id": ["1", "2", "3"], "text": ["fine", os.urandom(MB // 10).hex() * 300, "good"]})
    parquet(tmp_path / "a.parquet", table, compression="zstd")
    documents, rejects = read_all(tmp_path, **SMALL)
    assert [d.doc_id for d in documents] == ["1", "3"]
    assert [(r.position, r.doc_id) for r in rejects] == [(1, "2")]
    assert "longer than max_document_bytes" in rejects[0].reason


HOSTILE = {
    "a value beyond the memory": lambda: pa.array(["a", "x" * 500 * MB]),
    "a list of nulls": lambda: pa.ListArray.from_arrays(
        pa.array([0, 1, 30 * MB], pa.int32()), pa.nulls(30 * MB, pa.int8())
    ),
    "a list of bits": lambda: pa.ListArray.from_arrays(
        pa.array([0, 1, 30 * MB], pa.int32()), pa.nulls(30 * MB, pa.bool_()).fill_null(True)
    ),
    "a list of empty lists": lambda: pa.ListArray.from_arrays(
        pa.array([0, 1, 9 * MB], pa.int32()),
        pa.ListArray.from_arrays(pa.nulls(9 * MB + 1, pa.int32()).fill_null(0), pa.array([], pa.int8())),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_columns_cost_their_rows(tmp_path: Path, name: str) -> None:
    room = [os.urandom(MB).hex(), ""]  # so that the bound of expansion allows it
    table = pa.table({"id": ["1", "2"], "text": ["a", "b"], "column": HOSTILE[name](), "room": room})
    parquet(tmp_path / "a.parquet", table, compression="zstd")
    parquet(tmp_path / "b.parquet", ROWS)
    settings = {**SMALL, "metadata": {"column": "list[integer]", "room": "string"}}
    documents, rejects = read_all(tmp_path, **settings)
    assert [d.doc_id for d in documents][-10:] == [row["id"] for row in ROWS]
    assert {r.source for r in rejects} == {"a.parquet"}
    assert any("memory" in r.reason for r in rejects)
    assert _peak(settings) < 450 * MB


def test_time_has_a_limit(tmp_path: Path) -> None:
    _repeated(tmp_path / "a.parquet", "word " * 4 * MB, 400)
    (tmp_path / "b.txt").write_text("fine")
    before = time.monotonic()
    settings = {**SMALL, "extract_memory": 900 * MB, "extract_seconds": 0.05}
    documents, rejects = read_all(tmp_path, **settings)
    assert [d.doc_id for d in documents][-1:] == ["b.txt"]
    assert "longer than corpus.extract_seconds" in rejects[-1].reason
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("after", [0, 700])
def test_a_process_that_is_gone_costs_no_row(tmp_path: Path, after: int) -> None:
    path = parquet(
        tmp_path / "a.parquet", [{"id": str(i), "text": "x"} for i in range(2000)], row_group_size=900
    )
    corpus = CorpusSettings(paths=[str(path)])
    (whole,) = cut_slices(list_files(corpus).files, int(corpus.slice_bytes), {})
    found = []
    thread_extractor(limits(corpus)).extract(HTML, b"<p>used")
    for number, item in enumerate(records(whole, corpus, None)):
        if number == after:
            process = thread_extractor(limits(corpus))._process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
        found.append(item)
    assert [item[1] for item in found] == list(range(2000))  # type: ignore[index]


def test_a_reader_that_stops_early_leaves_the_process_to_the_next(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [{"id": str(i), "text": "x"} for i in range(5000)])
    corpus = CorpusSettings(paths=[str(tmp_path)])
    (whole,) = cut_slices(list_files(corpus).files, int(corpus.slice_bytes), {})
    pids = set()
    for _ in range(3):
        reader = records(whole, corpus, None)
        assert next(reader)[1] == 0  # type: ignore[index]
        process = thread_extractor(limits(corpus))._process
        assert process is not None
        pids.add(process.pid)
        reader.close()
        assert thread_extractor(limits(corpus)).extract(HTML, b"<p>next")[:2] == ("", "next")
    assert len(pids) == 1


def test_every_type_comes_through(tmp_path: Path) -> None:
    day = datetime.date(2020, 2, 3)
    values = {
        "text": ["one", "two", None], "number": [1, None, 3], "day": [day, None, day],
        "money": [decimal.Decimal("1.50"), None, decimal.Decimal("2.25")], "tags": [["a", "b"], [], None],
        "when": [datetime.datetime(2020, 2, 3, 4), None, None], "nested": [{"a": [1]}, None, {"a": []}],
        "flag": [True, False, None],
    }  # fmt: skip
    table = pa.table({**values, "kind": pa.array(["x", "y", "x"]).dictionary_encode()})
    path = parquet(tmp_path / "a.parquet", table, row_group_size=2)
    corpus = CorpusSettings(paths=[str(path)])
    (whole,) = cut_slices(list_files(corpus).files, int(corpus.slice_bytes), {})
    found = [item[2] for item in records(whole, corpus, None)]  # type: ignore[index]
    assert found == table.to_pylist()


@pytest.mark.parametrize("length", [0, 7, 10**6, 2**31, 2**32 - 1])
def test_footers_that_lie_about_their_length(tmp_path: Path, length: int) -> None:
    data = parquet(tmp_path / "a.parquet", ROWS).read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:-8] + struct.pack("<I", length) + b"PAR1")
    documents, rejects = read_all(tmp_path)
    assert documents == []
    assert ["damaged Parquet file" in r.reason for r in rejects] == [True]


def test_footers_longer_than_the_first_read_are_cut(tmp_path: Path) -> None:
    rows = [{f"column{i}": "x" * 100 for i in range(200)} | {"text": f"{n}"} for n in range(60)]
    path = parquet(tmp_path / "a.parquet", rows, row_group_size=5)
    corpus = CorpusSettings(paths=[str(path)], slice_bytes=50_000, metadata="none")
    slices = list(cut_slices(list_files(corpus).files, 50_000, {}))
    assert len(slices) > 3
    assert [d.text for d in read_all(path, slice_bytes=50_000, metadata="none")[0]] == [
        str(n) for n in range(60)
    ]


def test_defaults_are_those_of_the_settings() -> None:
    assert limits(CorpusSettings(paths=["x"])) == Limits()
