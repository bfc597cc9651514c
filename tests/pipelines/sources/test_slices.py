"""Slices: no record lost or doubled whatever the cut, deterministic keys, bounded sizes."""

import dataclasses
import json
import os
import shutil

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.documents import Document, Note
from pipelines.sources.files.listing import InputFile, list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import Slice, cut_slices
from tests.tools.samples.source_samples import COMPRESS, ROWS, jsonl, parquet, read_all

_lines = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=30).map(lambda t: json.dumps({"text": "x" + t}).encode()),
        st.just(b""),
        st.just(b"  \r"),
        st.just(b"broken"),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=_lines, slice_bytes=st.integers(1, 120), end=st.sampled_from([b"", b"\n"]))
def test_every_line_is_read_once_whatever_the_cut(tmp_path, lines, slice_bytes, end):
    data = b"\n".join(lines) + end
    (tmp_path / "a.jsonl").write_bytes(data)
    corpus = CorpusSettings(paths=str(tmp_path / "a.jsonl"))
    files = list_files(corpus).files
    items = [i for s in cut_slices(files, slice_bytes, {}) for i in read_slice(s, corpus, {})]
    items = [i for i in items if not isinstance(i, Note)]
    expected, position = [], 0
    for line in data.split(b"\n"):
        if line.strip():
            text = None if line == b"broken" else json.loads(line)["text"].replace("\0", "\ufffd")
            expected.append((position, text))
        position += len(line) + 1
    if not data:
        expected = [(0, None)]
    assert [(i.position, i.text if isinstance(i, Document) else None) for i in items] == expected


def test_a_line_longer_than_a_read_is_read_once(tmp_path):
    rows = [{"text": "a"}, {"text": "b" * 3_500_000}, {"text": "c"}]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    documents, rejects = read_all(tmp_path, slice_bytes=400_000)
    assert rejects == []
    assert [len(d.text) for d in documents] == [1, 3_500_000, 1]


def test_parquet_is_cut_between_row_groups(tmp_path):
    rows = [{"id": str(i), "text": f"{i} " * 200} for i in range(100)]
    path = parquet(tmp_path / "a.parquet", rows, row_group_size=10, use_dictionary=False)
    files = list_files(CorpusSettings(paths=str(path))).files
    slices = list(cut_slices(files, 20_000, {}))
    assert slices[0].start == 0
    assert [s.end for s in slices[:-1]] == [s.start for s in slices[1:]]
    assert slices[-1].end == 10
    assert 3 <= len(slices) <= 6
    assert [d.position for d in read_all(path, slice_bytes=20_000)[0]] == list(range(100))


def test_empty_tables_are_no_rejects(tmp_path):
    parquet(tmp_path / "a.parquet", pa.table({"text": pa.array([], pa.string())}))
    (tmp_path / "b.csv").write_bytes(b"id,text\n")
    assert read_all(tmp_path) == ([], [])


def test_small_files_are_read_together_within_bounds(tmp_path):
    files = [InputFile(f"/x/{i}.txt", f"{i}.txt", 10, "v", "text", None) for i in range(2500)]
    assert [len(s.files) for s in cut_slices(files, 10**6, {})] == [1000, 1000, 500]
    assert [len(s.files) for s in cut_slices(files[:10], 35, {})] == [3, 3, 3, 1]
    mixed = [files[0], dataclasses.replace(files[1], format="pdf"), files[2]]
    assert [s.format for s in cut_slices(mixed, 10**6, {})] == ["text", "pdf", "text"]


def test_what_cannot_be_cut_is_one_slice(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text\n" + b"row\n" * 100)
    (tmp_path / "b.jsonl.gz").write_bytes(COMPRESS[".gz"](jsonl(ROWS)))
    (tmp_path / "c.parquet").write_bytes(b"damaged")
    slices = list(cut_slices(list_files(CorpusSettings(paths=str(tmp_path))).files, 10, {}))
    assert [(s.start, s.end) for s in slices] == [(0, -1)] * 3


def test_slices_survive_json_and_a_move(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/a.jsonl").write_bytes(jsonl(ROWS))
    (tmp_path / "one/b.txt").write_bytes(b"text")
    first = list(cut_slices(list_files(CorpusSettings(paths=str(tmp_path / "one"))).files, 200, {}))
    assert [Slice.from_dict(json.loads(json.dumps(s.to_dict()))) for s in first] == first
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # keeps times
    moved = list(cut_slices(list_files(CorpusSettings(paths=str(tmp_path / "two"))).files, 200, {}))
    assert [s.key for s in moved] == [s.key for s in first]
    assert len({s.key for s in first}) == len(first) > 2
    os.utime(tmp_path / "two/b.txt", ns=(1, 1))
    changed = list(cut_slices(list_files(CorpusSettings(paths=str(tmp_path / "two"))).files, 200, {}))
    assert [a.key == b.key for a, b in zip(first, changed, strict=True)] == [True] * (len(first) - 1) + [
        False
    ]


@pytest.mark.parametrize(
    "change", [{"name": "b"}, {"version": "w"}, {"format": "csv"}, {"compression": "gzip"}]
)
def test_the_key_names_everything_that_is_read(change):
    file = InputFile("/a", "a", 10, "v", "jsonl", None)
    assert Slice((dataclasses.replace(file, **change),)).key != Slice((file,)).key
    assert Slice((file,), 0, 5).key != Slice((file,), 5, 10).key
    assert len(Slice((file,)).key) >= 12
