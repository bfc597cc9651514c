"""Metadata: types that a sample shows, conversions that lose nothing, mismatches by policy."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.files.listing import list_files
from pipelines.sources.metadata import arrow_type, convert, infer_schema
from pipelines.sources.slices import cut_slices
from tests.tools.samples.source_samples import jsonl, parquet, read_all

DAY = datetime.date(2019, 5, 1)


def _schema(path, **settings):
    corpus = CorpusSettings(paths=str(path), **settings)
    return infer_schema(cut_slices(list_files(corpus).files, int(corpus.slice_bytes), {}), corpus)


def test_types_of_json_values(tmp_path):
    rows = [
        {"id": 1, "docid": 1, "text": "t", "year": 2019, "score": 1, "open": True, "day": "2019-05-01"},
        {"text": "t", "year": None, "score": 0.5, "tags": ["a", "b"], "author": "x", "mix": 1, "code": "12"},
        {"text": "t", "tags": [], "tag": ["a"], "mix": "y", "nested": {"a": 1}, "void": None, "big": 2**63},
        {"text": "t", "tag": "b", "sizes": [1, 2.5], "pairs": [[1], [2]], "none": []},
    ]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    assert _schema(tmp_path) == {
        "author": "string", "big": "string", "code": "string", "day": "date", "mix": "string",
        "nested.a": "integer",
        "open": "boolean", "score": "float", "sizes": "list[float]", "tag": "list[string]",
        "tags": "list[string]", "year": "integer",
    }  # fmt: skip
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert documents[0].metadata["score"] == 1.0
    assert documents[0].metadata["day"] == DAY
    assert documents[1].metadata["mix"] == "1"
    assert documents[3].metadata["tag"] == ["b"]
    assert documents[3].metadata["year"] is None
    assert all(list(d.metadata) == list(_schema(tmp_path)) for d in documents)


def test_types_of_csv_values(tmp_path):
    lines = [
        "id,text,n,x,yes,day,zip,note,void",
        "1,t,-5,1e3,true,2019-05-01,01234,,",
        "2,t,,2.50,FALSE,,5,5 a,",
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    for policy in ("coerce", "reject"):
        documents, rejects = read_all(tmp_path, on_type_mismatch=policy)
        assert rejects == []
        assert documents[0].metadata == {
            "n": -5, "x": "1e3", "yes": True, "day": DAY, "zip": "01234", "note": None,
        }  # fmt: skip
        assert documents[1].metadata["n"] is None


def test_types_of_parquet_values(tmp_path):
    midnight, noon = datetime.datetime(2019, 5, 1), datetime.datetime(2019, 5, 1, 12)
    table = pa.table(
        {
            "text": ["a", "b"],
            "year": pa.array([2019, None], pa.int16()),
            "pandas": pa.array([2019.0, float("nan")]),
            "day": pa.array([midnight, midnight], pa.timestamp("ns", "UTC")),
            "moment": pa.array([midnight, noon], pa.timestamp("ns")),
            "price": pa.array([Decimal("1.50"), None]),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "tags": pa.array([["x"], None]),
            "struct": pa.array([{"a": 1}, None]),
        }
    )
    parquet(tmp_path / "a.parquet", table)
    assert _schema(tmp_path) == {
        "day": "datetime", "kind": "string", "moment": "string", "pandas": "float", "price": "float",
        "struct.a": "integer", "tags": "list[string]", "year": "integer",
    }  # fmt: skip
    documents, rejects = read_all(tmp_path, metadata={"pandas": "integer", "day": "date", "price": "float"})
    assert rejects == []
    assert documents[0].metadata == {"pandas": 2019, "day": DAY, "price": 1.5}
    assert documents[1].metadata == {"pandas": None, "day": DAY, "price": None}


def test_the_sample_reaches_the_end_of_the_corpus(tmp_path):
    for i in range(30):
        extra = {"late": 1} if i == 29 else {}
        (tmp_path / f"{i:02}.jsonl").write_bytes(jsonl([{"text": "t", **extra}] * 3))
    assert _schema(tmp_path) == {"late": "integer"}
    assert _schema(tmp_path, metadata="none") == {}
    assert _schema(tmp_path, metadata={"x": "date"}) == {"x": "date"}


@pytest.mark.parametrize(
    ("value", "type", "expected"),
    [
        ("2019", "integer", 2019), (" -7 ", "integer", -7), (3.0, "integer", 3), (Decimal("4"), "integer", 4),
        (1, "float", 1.0), ("1e3", "float", 1000.0), (Decimal("1.5"), "float", 1.5),
        ("true", "boolean", True), ("False", "boolean", False),
        ("2019-05-01T00:00:00Z", "date", DAY), (datetime.datetime(2019, 5, 1), "date", DAY),
        (5, "string", "5"), (True, "string", "true"), (DAY, "string", "2019-05-01"),
        ("a", "list[string]", ["a"]), (["1", None], "list[integer]", [1, None]),
        (None, "integer", None), (float("nan"), "integer", None),
    ],
)  # fmt: skip
def test_coercion_converts_what_loses_nothing(value, type, expected):
    found = convert(value, type, "coerce")
    assert found == expected
    assert found is None or pa.scalar(found, arrow_type(type)).as_py() == expected


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("abc", "integer"), ("007", "integer"), (3.5, "integer"), (2**63, "integer"), (True, "integer"),
        ("9" * 10000, "integer"), (2**53 + 1, "float"), ("inf", "float"), ("1" * 400, "float"),
        ("yes", "boolean"),
        (1, "boolean"), ("2019-13-01", "date"), ("2019-05-01T10:00", "date"), (20190501, "date"),
        ({"a": 1}, "string"), (["a"], "string"), (["a"], "list[integer]"), ([["a"]], "list[string]"),
    ],
)  # fmt: skip
def test_coercion_refuses_what_would_lose(value, type):
    with pytest.raises(ValueError, match="is not a"):
        convert(value, type, "coerce")


def test_reject_mode_takes_the_declared_type_only():
    assert convert(5, "integer", "reject") == 5
    assert convert("2019-05-01", "date", "reject") == DAY  # JSON has no dates
    for value, type in (("5", "integer"), (5, "float"), (5, "string"), ("a", "list[string]")):
        with pytest.raises(ValueError, match="is not a"):
            convert(value, type, "reject")


def test_mismatches_are_rejected_or_coerced_as_configured(tmp_path):
    rows = [{"id": i, "text": "t", "year": year} for i, year in enumerate([2019, "2020", "soon", None])]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    documents, rejects = read_all(tmp_path, metadata={"year": "integer"})
    assert [d.metadata["year"] for d in documents] == [2019, 2020, None]
    assert [(r.doc_id, r.reason) for r in rejects] == [
        ("2", "metadata field year: 'soon' is not a 64-bit integer")
    ]
    documents, rejects = read_all(tmp_path, metadata={"year": "integer"}, on_type_mismatch="reject")
    assert [d.metadata["year"] for d in documents] == [2019, None]
    assert [r.doc_id for r in rejects] == ["1", "2"]
