"""Parquet may unfold as far as compressed text may, and no further, however the file is cut."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.extraction.answers import EXPANSION_SLACK, MAX_EXPANSION
from tests.tools.samples.source_samples import ROWS, parquet, read_all

EXPAND = f"expand more than {MAX_EXPANSION} times"


def _one_value(rows: int, characters: int, kind: pa.DataType, *, as_dictionary: bool = False) -> bytes:
    """One long value in every row, which the file has once."""
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * rows, pa.int32()), pa.array(["w" * characters]).cast(kind)
    )
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": text}), sink, compression="zstd", store_schema=as_dictionary)
    return sink.getvalue()


def _groups(count: int, text: str, *, columns: int = 0) -> bytes:
    """Row groups of one row with a text that compresses well."""
    sink = io.BytesIO()
    extra = {f"c{i}": [None] for i in range(columns)}
    table = pa.table({"id": ["x"], "text": [text], **{n: pa.array(v, pa.string()) for n, v in extra.items()}})
    with pq.ParquetWriter(sink, table.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(count):
            writer.write_table(table)
    return sink.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "2,000 rows of one value": lambda: _one_value(2_000, 100_000, pa.string()),
    "binary": lambda: _one_value(2_000, 100_000, pa.binary()),
    "large strings": lambda: _one_value(2_000, 100_000, pa.large_string()),
    "kept as a dictionary": lambda: _one_value(2_000, 100_000, pa.string(), as_dictionary=True),
    "one row group after another": lambda: _groups(40, "word " * 1_600_000),
    "small row groups": lambda: _groups(300, "word " * 100_000),
    "rows of nothing": lambda: _one_value(8_000_000, 1, pa.string()),
}


@pytest.mark.parametrize("slice_bytes", [8_000_000, 100_000, 10**10])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_in_proportion_to_its_size(tmp_path: Path, name: str, slice_bytes: int) -> None:
    data = BOMBS[name]()
    (tmp_path / "a.parquet").write_bytes(data)
    parquet(tmp_path / "b.parquet", ROWS)
    documents, rejects = read_all(tmp_path, slice_bytes=slice_bytes)
    bomb = [d for d in documents if d.source == "a.parquet"]
    assert sum(len(d.text) for d in bomb) <= MAX_EXPANSION * len(data) + EXPANSION_SLACK
    assert len(documents) - len(bomb) == len(ROWS)
    assert {r.source for r in rejects} == {"a.parquet"}
    assert all(EXPAND in r.reason for r in rejects)


def test_row_groups_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A footer that names one piece of the file a thousand times."""
    # 60 groups lie in the file, and the footer of it is put behind the bytes of the first ones alone.
    whole = _groups(60, os.urandom(100_000).hex())
    footer = pq.read_metadata(io.BytesIO(whole)).serialized_size
    (tmp_path / "a.parquet").write_bytes(whole[:300_000] + whole[-footer - 8 :])
    documents, rejects = read_all(tmp_path, slice_bytes=10**10)
    assert documents == [] and "more bytes than the file" in rejects[0].reason


ORDINARY: dict[str, Callable[[], pa.Table]] = {
    "the same words": lambda: pa.table(
        {
            "id": [str(i) for i in range(5_000)],
            "text": [f"{i} the same words, again " * 300 for i in range(5_000)],
        }
    ),
    "fields of one value": lambda: pa.table(
        {
            "text": [f"A short text, number {i}" for i in range(50_000)],
            **{f"f{j}": pa.array(["the same"] * 50_000).dictionary_encode() for j in range(20)},
        }
    ),
    "a small file": lambda: pa.table({"text": ["word " * 1_000] * 2_000}),
}


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "none"])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_tables_are_read_whole(tmp_path: Path, name: str, compression: str) -> None:
    table = ORDINARY[name]()
    parquet(tmp_path / "a.parquet", table, compression=compression, row_group_size=2_000)
    documents, rejects = read_all(tmp_path, slice_bytes=1_000_000)
    assert (len(documents), rejects) == (table.num_rows, [])
