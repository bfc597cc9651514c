"""Every format and compression gives the documents that were written."""

import csv
import io

import pyarrow as pa
import pytest

from pipelines.sources import WholeFileFormat
from tests.tools.samples.source_samples import COMPRESS, ROWS, jsonl, parquet, pdf, read_all


def _delimited(rows, delimiter):
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


_ENCODE = {
    "jsonl": jsonl,
    "csv": lambda rows: _delimited(rows, ","),
    "tsv": lambda rows: _delimited(rows, "\t"),
}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("format", _ENCODE)
def test_records_of_every_compression(tmp_path, format, suffix):
    path = tmp_path / f"corpus.{format}{suffix}"
    path.write_bytes(COMPRESS[suffix](_ENCODE[format](ROWS)))
    documents, rejects = read_all(path)
    assert rejects == []
    assert [(d.doc_id, d.title, d.text) for d in documents] == [tuple(row.values()) for row in ROWS]
    assert {d.source for d in documents} == {path.name}


def test_positions_find_the_record_again(tmp_path):
    data = jsonl(ROWS)
    (tmp_path / "a.jsonl").write_bytes(data)
    parquet(tmp_path / "b.parquet", ROWS, row_group_size=3)
    documents, _ = read_all(tmp_path, slice_bytes=200)
    for document in documents[:10]:
        assert document.doc_id.encode() in data[document.position :].split(b"\n")[0]
    assert [d.position for d in documents[10:]] == list(range(10))


def test_concatenated_members_are_one_file(tmp_path):
    for suffix, compress in COMPRESS.items():
        path = tmp_path / f"corpus.jsonl{suffix}"
        path.write_bytes(compress(jsonl(ROWS[:5])) + compress(jsonl(ROWS[5:])))
        documents, rejects = read_all(path)
        assert len(documents) == 10, suffix
        assert rejects == []


def test_missing_ids_titles_and_numbers_as_ids(tmp_path):
    rows = [{"text": "a"}, {"id": "", "title": None, "text": "b"}, {"id": 7, "text": "c"}]
    (tmp_path / "x.jsonl").write_bytes(jsonl(rows))
    documents, _ = read_all(tmp_path)
    assert [d.doc_id for d in documents] == ["x.jsonl#0", "x.jsonl#14", "7"]
    assert [d.title for d in documents] == ["", "", ""]


def test_field_mapping_takes_the_first_name_that_a_record_has(tmp_path):
    rows = [
        {"nr": 1, "head": "H", "abstract": "one"},
        {"nr": 2, "head": "H", "summary": "two", "abstract": "no"},
    ]
    (tmp_path / "x.jsonl").write_bytes(jsonl(rows))
    fields = {"id": "nr", "title": "head", "text": ["summary", "abstract"]}
    documents, rejects = read_all(tmp_path, fields=fields)
    assert rejects == []
    assert [(d.doc_id, d.title, d.text) for d in documents] == [("1", "H", "one"), ("2", "H", "two")]


def test_parquet_columns_of_other_types(tmp_path):
    table = pa.table(
        {
            "id": pa.array([2**62, 5], pa.int64()),
            "title": pa.array(["t", "t"]).dictionary_encode(),
            "text": pa.array([b"as bytes", "naïve".encode()], pa.binary()),
            "vector": pa.array([[0.5] * 4] * 2, pa.list_(pa.float32(), 4)),
        }
    )
    parquet(tmp_path / "x.parquet", table)
    documents, rejects = read_all(tmp_path, metadata="none")
    assert rejects == []
    assert [(d.doc_id, d.title, d.text) for d in documents] == [
        (str(2**62), "t", "as bytes"),
        ("5", "t", "naïve"),
    ]


def test_csv_keeps_lines_and_quotes_inside_a_field(tmp_path):
    (tmp_path / "x.csv").write_bytes(b'\xef\xbb\xbfid,text\r\n1,"a ""b""\r\nc,\xc3\xa9"\r\n\r\n2,plain\r\n')
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert [(d.doc_id, d.text, d.position) for d in documents] == [
        ("1", 'a "b"\r\nc,é', 0),
        ("2", "plain", 1),
    ]


def test_one_document_files(tmp_path):
    front = b'---\ndate: 2020\ntitle: "From front matter"\n---\n# Heading\n'
    pages = {
        "a.txt": b"Plain",
        "b.txt": "Émile".encode("utf-16"),
        "c.txt": b"\xef\xbb\xbfMarked",
        "d.md": b"Intro\n\n```\n# not this\n```\n\n## The heading ##\n\nBody",
        "e.md": front,
        "f.html": b"<html><head><title> The\n page </title><style>x{}</style></head><body><h1>Hi</h1>"
        b"<script>bad()</script><p>A &amp; B</p></body></html>",
        "g.html": '<meta charset="iso-8859-1"><p>Café</p>'.encode("latin-1"),
        "h.pdf": pdf(["Hello paper", "second line"], title="On papers"),
        "i.md.gz": COMPRESS[".gz"](b"Setext\n======\n\nbody"),
    }
    for name, data in pages.items():
        (tmp_path / name).write_bytes(data)
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    found = {d.doc_id: (d.title, d.text) for d in documents}
    assert list(found) == list(pages)
    assert found["a.txt"] == ("a", "Plain")
    assert found["b.txt"][1] == "Émile"
    assert found["c.txt"][1] == "Marked"
    assert found["d.md"] == ("The heading", pages["d.md"].decode())
    assert found["e.md"] == ("From front matter", front.decode())
    assert found["f.html"][0] == "The page"
    assert found["f.html"][1].split() == ["Hi", "A", "&", "B"]
    assert found["g.html"][1].strip() == "Café"
    assert found["h.pdf"] == ("On papers", "Hello paper\nsecond line")
    assert found["i.md.gz"][0] == "Setext"


def test_a_format_of_whole_files_that_cannot_read_them_is_refused_as_it_is_made() -> None:
    with pytest.raises(TypeError, match="Mute has neither a `parser` nor `extract`"):
        type("Mute", (WholeFileFormat,), {"name": "mute"})
    spoken = type(
        "Spoken", (WholeFileFormat,), {"name": "spoken", "extract": lambda _self, _data, _reading: ("", "")}
    )
    assert type("Louder", (spoken,), {}).parser == ""
