"""Values: a type that was guessed costs no document and changes no value."""

import datetime
import time
from decimal import Decimal

import pyarrow as pa
import pytest

from pipelines.sources.kinds import Kinds, flat, value_at, widened
from pipelines.sources.slice_reader import folder_values
from tests.tools.samples.source_samples import jsonl, parquet, read_all, read_noted

BIG = 123456789012345678901234567890
INSTANT = datetime.datetime(2019, 12, 31, 22, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (["2024-W05", "2024-W06"], "string"), (["00120315"], "string"), (["1E5", "2E3"], "string"),
        (["2024-05"], "string"), (["+49123"], "string"), (["12:30"], "string"), (["-0", "7"], "string"),
        ([" 7", "8"], "string"), (["1.9", "1.10"], "string"), (["2.50", "3"], "string"),
        (["2.50", "19.99"], "float"), (["20240101"], "integer"), (["7", "2.5"], "float"),
        (["0.12345678901234567891"], "string"), ([str(BIG), "1"], "string"), (["yes"], "string"),
        (["TRUE", "false"], "boolean"), (["2024-01-31"], "date"), (["2024-01-31", "2024-02"], "string"),
        (["2020-01-01 00:00:00"], "string"), (["2020-01-01T00:00:00+05:00"], "datetime"),
        (["2020-01-01T00:00:00.1234567Z"], "string"), (["9007199254740993"], "integer"),
        (["9007199254740993", "0.5"], "string"), (["", ""], None),
    ],
)  # fmt: skip
def test_text_stands_for_a_type_only_where_it_reads_back(values, type):
    kinds = Kinds()
    for value in values:
        kinds.add(value, from_text=True)
    assert kinds.type() == type


@pytest.mark.parametrize(
    ("values", "type", "kept"),
    [
        ([BIG, 1], "string", [str(BIG), "1"]), ([2**64 - 1], "string", [str(2**64 - 1)]),
        ([2**53 + 1, 2], "integer", [2**53 + 1, 2]), ([2**53 + 1, 0.5], "string", [str(2**53 + 1), "0.5"]),
        ([1, 1.5], "float", [1.0, 1.5]), ([float("nan"), 0.5], "float", [None, 0.5]),
        (["2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00Z"], "datetime", [INSTANT, INSTANT]),
        ([True, "maybe"], "string", ["true", "maybe"]), (["a", ["b"]], "list[string]", [["a"], ["b"]]),
        ([{"x": {"y": 1}}], None, [None]), ([[{"x": 1}]], None, [None]),
    ],
)  # fmt: skip
def test_values_of_json(tmp_path, values, type, kept):
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "NaN", "n": value} for value in values]))
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert [d.metadata.get("n") for d in documents] == kept
    assert [d.text for d in documents] == ["NaN"] * len(values)


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        (pa.array([Decimal("12345678901234567890"), Decimal(1)]), ["12345678901234567890", "1"]),
        (pa.array([Decimal("1.1234567890123456789"), None]), ["1.1234567890123456789", None]),
        (pa.array([Decimal("0.10"), Decimal("19.99")]), [0.1, 19.99]),
        (pa.array([b"\0" * 15 + b"\1", None], pa.uuid()), ["00000000-0000-0000-0000-000000000001", None]),
        (pa.array([b"\xab\xcd", None], pa.binary(2)), ["abcd", None]),
        (pa.array([INSTANT, None], pa.timestamp("ms", "America/New_York")), [INSTANT, None]),
        (pa.array([1, None], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001", None]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"a", b"b"], pa.binary_view()), ["a", "b"]),
    ],
)
def test_values_of_parquet(tmp_path, column, kept):
    parquet(tmp_path / "a.parquet", pa.table({"text": ["a", "b"], "n": column, "__index_level_0__": [1, 2]}))
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert [d.metadata for d in documents] == [{"n": value} for value in kept]


@pytest.mark.parametrize("names", [["text", "text"], ["text", "x", "x"]])
def test_two_columns_with_one_name_are_an_error(tmp_path, names):
    parquet(tmp_path / "a.parquet", pa.Table.from_arrays([pa.array(["t"])] * len(names), names))
    documents, (found,) = read_all(tmp_path)
    assert documents == []
    assert f"two columns have one name: {names[-1]}" in found.reason


@pytest.mark.parametrize(
    ("early", "late", "kept"),
    [
        ("1", '"unknown"', ("1", "unknown")), ("1", "0.5", (1.0, 0.5)), ("1", str(BIG), ("1", str(BIG))),
        ('"2020-01-01"', '"2020-01"', ("2020-01-01", "2020-01")), ("true", '"maybe"', ("true", "maybe")),
        ('"a"', '["b"]', (["a"], ["b"])), ("null", '["late"]', (None, ["late"])),
    ],
)  # fmt: skip
def test_what_comes_after_the_sample_widens_the_type(tmp_path, early, late, kept):
    lines = ['{"text": "t", "n": %s}\n' % (early if i < 1400 else late) for i in range(1500)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert (documents[0].metadata.get("n"), documents[-1].metadata["n"]) == kept
    assert len(documents) == 1500


def test_a_declared_type_is_not_widened(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "t", "n": 1}, {"text": "u", "n": "x", "m": 1}]))
    documents, rejects = read_all(tmp_path, metadata={"n": "integer"})
    assert [d.metadata for d in documents] == [{"n": 1}]
    assert len(rejects) == 1


def test_objects_are_fields_behind_a_point(tmp_path):
    record = {"author": {"name": "Ann", "born": {"year": 1900}}, "x.y": 1, "a": {"b.c": 2}, "z": {}}
    assert dict(flat(record)) == {
        "author.name": "Ann", "author.born.year": 1900, "x.y": 1, "a.b.c": 2, "z": {},
    }  # fmt: skip
    assert [value_at(record, name) for name in ("author.born.year", "x.y", "a.b.c", "author.age", "b")] == [
        1900, 1, 2, None, None,
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"article": {"body": "b"}, **record, "pairs": [{"n": 1}]}]))
    documents, rejects, notes = read_noted(tmp_path, fields={"text": "article.body"})
    assert rejects == []
    assert documents[0].text == "b"
    assert documents[0].metadata["author.name"] == "Ann"
    assert sorted(notes) == [
        "metadata values that are no scalars were left out: pairs",
        "metadata values that are no scalars were left out: z",
    ]


def test_folders_give_fields():
    assert folder_values("year=2020/lang=de%20x/day=2020-01-01/m=1e3/q=__HIVE_DEFAULT_PARTITION__/k=v") == {
        "year": 2020, "lang": "de x", "day": "2020-01-01", "m": "1e3", "q": None,
    }  # fmt: skip


def test_files_of_any_format_have_the_fields_of_their_folders(tmp_path):
    for name, data in (("year=2020/a.jsonl", '{"text": "a"}'), ("year=2021/b.txt", "b")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(data)
    documents, _ = read_all(tmp_path)
    assert [d.metadata for d in documents] == [{"year": 2020}, {"year": 2021}]


def test_null_in_the_first_field_means_the_next(tmp_path):
    rows = [
        {"_id": None, "id": "x", "text": None, "body": "b"},
        {"_id": "", "id": 5, "text": "", "body": "c"},
    ]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    documents, _ = read_all(tmp_path)
    assert [(d.doc_id, d.text) for d in documents] == [("x", "b"), ("5", "c")]


def test_numbers_that_json_has_not_are_null(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "\\"NaN\\", -Infinity", "n": NaN, "m": [-Infinity, 1]}\n')
    (document,), rejects, notes = read_noted(tmp_path)
    assert rejects == []
    assert document.text == '"NaN", -Infinity'
    assert document.metadata == {"m": [None, 1]}
    assert notes == ["Infinity in JSON was read as null"]


def test_schemas_widen_by_what_slices_have_seen():
    schema = {"a": "integer", "b": "list[string]", "c": "date"}
    seen = [{"a": ["float"]}, {"a": ["integer"], "d": ["boolean"]}, {"b": ["integer"], "c": ["list", "date"]}]
    assert widened(schema, seen) == {"a": "float", "b": "list[string]", "c": "list[date]", "d": "boolean"}
    assert widened(schema, [{}]) == schema
    full = {f"f{i:04}": "integer" for i in range(1000)}
    assert widened(full, [{"new": ["integer"], "f0000": ["string"]}]) == full | {"f0000": "string"}


@pytest.mark.parametrize("text", ['"' * 200_000, '"\\' * 200_000, '["a",' * 100_000, "[NaN," * 100_000])
def test_looking_for_nan_takes_no_longer_than_reading(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(f'{text} NaN\n{{"text": "fine"}}\n')
    began = time.process_time()
    documents, rejects = read_all(tmp_path)
    assert time.process_time() - began < 5
    assert ([d.text for d in documents], len(rejects)) == (["fine"], 1)
