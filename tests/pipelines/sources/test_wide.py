"""Records of very many fields, and fields of odd names, widen nobody's metadata."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.config.build_settings import validate
from pipelines.config.corpus_settings import MOST_METADATA_FIELDS, CorpusSettings
from pipelines.extraction.tables import MOST_COLUMNS
from pipelines.sources.files.listing import list_files
from pipelines.sources.metadata import infer_schema
from pipelines.sources.slices import cut_slices
from retrieval.errors import ConfigError
from tests.tools.samples.source_samples import jsonl, parquet, read_all

PLAIN = [{"id": f"d{i}", "text": "t", "year": 1900 + i} for i in range(50)]
ODD = ["", " ", "\t", "a\nb", "nul\0", "\u202egnp", "\u200b", "\x1b[2J", "\u2028", "x" * 201, "y" * 100_000]


def _schema(path: Path, **settings: Any) -> tuple[dict[str, str], list[str]]:
    corpus = CorpusSettings(paths=str(path), **settings)
    told: list[str] = []
    slices = list(cut_slices(list_files(corpus).files, int(corpus.slice_bytes), {}))
    return dict(infer_schema(slices, corpus, warn=told.append)), told


def _wide(count: int) -> dict[str, Any]:
    return {"id": "wide", "text": "t", **{f"k{i}": i for i in range(count)}}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [2_000, 20_000, 60_000])
def test_one_wide_record_takes_no_place_of_the_others(tmp_path: Path, count: int, first: bool) -> None:
    rows = [_wide(count), *PLAIN] if first else [*PLAIN, _wide(count)]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    schema, told = _schema(tmp_path)
    assert len(schema) == MOST_METADATA_FIELDS
    assert list(schema) == sorted({"year", *(f"k{i}" for i in range(MOST_METADATA_FIELDS - 1))})
    (message,) = told
    assert message.startswith(f"Metadata fields left out: {count + 1 - MOST_METADATA_FIELDS:,} that fewer")
    documents, rejects = read_all(tmp_path)
    assert (len(documents), rejects) == (51, [])


def test_records_that_share_no_field_leave_those_that_are_shared(tmp_path: Path) -> None:
    rows = [{**row, **{f"k{i}_{j}": 0 for j in range(3_000)}} for i, row in enumerate(PLAIN)]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    schema, told = _schema(tmp_path)
    assert len(schema) == MOST_METADATA_FIELDS and schema["year"] == "integer"
    assert told[0].startswith(f"Metadata fields left out: {150_001 - MOST_METADATA_FIELDS:,} that fewer")


def test_a_file_of_wide_records_does_not_hide_the_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([_wide(9_000)] * 150))
    (tmp_path / "b.jsonl").write_bytes(jsonl(PLAIN * 10))
    before = time.monotonic()
    assert _schema(tmp_path)[0]["year"] == "integer"
    assert time.monotonic() - before < 20


@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name[:9]))
def test_names_that_cannot_be_shown_are_no_fields(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([*PLAIN, {"id": "odd", "text": "t", name: 1}]))
    schema, told = _schema(tmp_path)
    assert schema == {"year": "integer"}
    assert told[0].startswith("Metadata fields left out: 1 whose names are")
    assert len(read_all(tmp_path)[0]) == 51
    with pytest.raises(ConfigError, match="cannot be the name of a field") as caught:
        validate({"corpus": {"paths": "x", "metadata": {name: "integer"}}, "index": {"path": "y"}}, "a.yaml")
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_declared_fields_have_a_bound_too() -> None:
    fields = {f"k{i}": "integer" for i in range(MOST_METADATA_FIELDS + 1)}
    with pytest.raises(ConfigError, match="1001 fields are too many"):
        validate({"corpus": {"paths": "x", "metadata": fields}, "index": {"path": "y"}}, "a.yaml")
    fields.popitem()
    found = validate({"corpus": {"paths": "x", "metadata": fields}, "index": {"path": "y"}}, "a.yaml")
    assert found.corpus.metadata == fields


def _csv(path: Path, count: int) -> None:
    header = ",".join(f"c{i}" for i in range(count))
    path.write_text(f"text,{header}\n" + f"x,{','.join('1' * count)}\n" * 3)


def _tsv(path: Path, count: int) -> None:
    _csv(path, count)
    path.write_text(path.read_text().replace(",", "\t"))


def _parquet(path: Path, count: int) -> None:
    parquet(path, pa.table({"text": ["x"] * 3, **{f"c{i}": [1, 2, 3] for i in range(count)}}))


FILES: dict[str, Callable[[Path, int], None]] = {"csv": _csv, "tsv": _tsv, "parquet": _parquet}


@pytest.mark.parametrize(
    ("format", "count"), [("csv", 1_000_000), ("tsv", MOST_COLUMNS), ("parquet", MOST_COLUMNS)]
)
def test_a_file_of_too_many_columns_is_one_reject(tmp_path: Path, format: str, count: int) -> None:
    FILES[format](tmp_path / f"a.{format}", count)
    (tmp_path / "b.jsonl").write_bytes(jsonl(PLAIN))
    documents, rejects = read_all(tmp_path)
    assert len(documents) == 50 and list(documents[0].metadata) == ["year"]
    assert [r.source for r in rejects] == [f"a.{format}"]
    assert f"{count + 1} columns, more than {MOST_COLUMNS}" in rejects[0].reason


@pytest.mark.parametrize("format", FILES)
def test_a_wide_file_is_read(tmp_path: Path, format: str) -> None:
    FILES[format](tmp_path / f"a.{format}", 1_500)
    documents, rejects = read_all(tmp_path)
    assert (len(documents), rejects) == (3, [])
    assert len(documents[0].metadata) == MOST_METADATA_FIELDS and documents[0].metadata["c7"] == 1
