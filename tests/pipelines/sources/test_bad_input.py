"""Bad input lands in the rejects with file, place and reason, and what is good beside it is read."""

import json

import pyarrow as pa
import pytest

from tests.tools.samples.source_samples import COMPRESS, ROWS, jsonl, parquet, pdf, read_all

GOOD = b'{"id": "good", "text": "fine"}\n'


def _jsonl(line):
    return GOOD + line + b"\n" + GOOD


def _csv(row):
    return b"id,text\ngood,fine\n" + row + b"\ngood,fine\n"


# name: (file name, bytes, position of the reject, words of its reason, good documents beside it)
CASES = {
    "binary line": ("a.jsonl", _jsonl(b'{"id": "x", "text": "a\xff\x01"}'), 31, "neither UTF-8", 2),
    "broken JSON": ("a.jsonl", _jsonl(b'{"id": "x", "text": '), 31, "broken JSON", 2),
    "raw NUL bytes": ("a.jsonl", _jsonl(b"\0\0\0\0"), 31, "NUL bytes", 2),
    "lone surrogate": ("a.jsonl", _jsonl(rb'{"text": "\ud800"}'), 31, "surrogate", 2),
    "not an object": ("a.jsonl", _jsonl(b'["text"]'), 31, "array, not an object", 2),
    "too deep": ("a.jsonl", _jsonl(b'{"text":' + b"[" * 2000), 31, "depth", 2),
    "no text": ("a.jsonl", _jsonl(b'{"id": "x", "abstract": "y"}'), 31, "found: id, abstract", 2),
    "null text": ("a.jsonl", _jsonl(b'{"id": "x", "text": null}'), 31, "the text is null", 2),
    "text of a number": ("a.jsonl", _jsonl(b'{"id": "x", "text": 5}'), 31, "a number, not a string", 2),
    "blank text": ("a.jsonl", _jsonl(rb'{"id": "x", "text": " \n\t"}'), 31, "empty", 2),
    "id beyond 64 bits": ("a.jsonl", _jsonl(b'{"id": 1%s, "text": "y"}' % (b"0" * 4500)), 31, "digits", 2),
    "id of a list": ("a.jsonl", _jsonl(b'{"id": ["x"], "text": "y"}'), 31, "the id is a list", 2),
    "long line": (
        "a.jsonl",
        _jsonl(b'{"text": "%s"}' % (b"x" * 6000)),
        31,
        "longer than max_document_bytes",
        2,
    ),
    "line without end": ("a.jsonl", GOOD + b"x" * 9000, 31, "longer than max_document_bytes", 1),
    "empty file": ("a.jsonl", b"", 0, "empty file", 0),
    "empty CSV": ("a.csv", b"", 0, "empty file", 0),
    "empty gzip": ("a.jsonl.gz", COMPRESS[".gz"](b""), 0, "empty file", 0),
    "empty text file": ("a.txt", b"", 0, "empty file", 0),
    "blank text file": ("a.txt", b" \n ", 0, "the text is empty", 0),
    "binary text file": ("a.txt", b"\xff\xfa\x01\x02", 0, "neither UTF-8 nor", 0),
    "image as text": ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0" * 9, 0, "a binary file", 0),
    "long text file": ("a.txt", b"x" * 6000, 0, "longer than max_document_bytes", 0),
    "inflating gzip": ("a.txt.gz", COMPRESS[".gz"](b"x" * 10**7), 0, "longer than max_document_bytes", 0),
    "CSV row too short": ("a.csv", _csv(b"x"), 1, "1 columns, and the header has 2", 2),
    "CSV row too long": ("a.csv", _csv(b"x,y,z"), 1, "3 columns", 2),
    "CSV binary": ("a.csv", _csv(b"x,\xff\x01"), 1, "neither UTF-8 nor", 2),
    "CSV without text": ("a.csv", _csv(b"x,"), 1, "the text is null", 2),
    "CSV open quote": ("a.csv", _csv(b'x,"y'), 1, "is a quote not closed?", 1),
    "CSV stray quote": ("a.csv", _csv(b'x,"y" z'), 1, "expected after", 2),
    "CSV without the column": ("a.csv", b"id,body text\n1,y\n", 0, "found: id, body text", 0),
    "corrupt PDF": ("a.pdf", b"%PDF-1.4\nnonsense", 0, "PDF that cannot be read", 0),
    "encrypted PDF": ("a.pdf", pdf(["x"], encrypted=True), 0, "encrypted PDF", 0),
    "PDF without text": ("a.pdf", pdf([]), 0, "PDF without text", 0),
    "HTML without text": ("a.html", b"<html><script>1</script></html>", 0, "the text is empty", 0),
    "deep HTML": ("a.html", b"<b>" * 1600 + b"x", 0, "nested too deeply", 0),
    "binary HTML": ("a.html", b"<p>\xff\xfe\x01", 0, "neither UTF-8 nor", 0),
    "not Parquet": ("a.parquet", b"PAR1 this is not", 0, "damaged Parquet", 0),
    "empty Parquet": ("a.parquet", b"", 0, "empty file", 0),
    "not gzip": ("a.jsonl.gz", GOOD, 0, "gzip data are damaged", 0),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_reject(tmp_path, case):
    name, data, position, words, good = CASES[case]
    (tmp_path / name).write_bytes(data)
    documents, rejects = read_all(tmp_path / name, max_document_bytes=5000)
    assert [(r.source, r.position) for r in rejects] == [(name, position)]
    assert words in rejects[0].reason
    assert [d.text for d in documents if d.text == "fine"] == ["fine"] * good
    assert len(documents) == good


def test_open_quote_takes_no_more_than_a_document_may(tmp_path):
    lines = [b"%d,%d" % (i, i) for i in range(100, 2000)]
    (tmp_path / "a.csv").write_bytes(b"id,text\ngood,fine\n" + b'x,"y\n' + b"\n".join(lines))
    documents, rejects = read_all(tmp_path, max_document_bytes=5000)
    assert [r.position for r in rejects] == [1]
    assert "quote" in rejects[0].reason
    assert documents[0].doc_id == "good"
    assert 1000 < len(documents) < 1900
    assert documents[-1].doc_id == "1999"


def test_legal_oddities_are_documents(tmp_path):
    texts = ["a\ufffdb", "\u2028line\u2029", "😀 \U0010ffff", "x" * 50_000_000]
    lines = b"\xef\xbb\xbf" + jsonl([{"text": "a\0b"}]) + b"\r\n \n"
    lines += b"".join(json.dumps({"text": t}).encode() + b"\r\n" for t in texts[1:])
    (tmp_path / "a.jsonl").write_bytes(lines[:-2])  # and no newline at the end
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert [d.text for d in documents] == texts


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_truncated_compression_keeps_the_records_before(tmp_path, format, suffix):
    rows = [{"id": i, "text": f"{i} {i**5:x}" * 20} for i in range(8000)]
    cells = "".join(f"{row['id']},{row['text']}\n" for row in rows)
    plain = jsonl(rows) if format == "jsonl" else f"id,text\n{cells}".encode()
    data = COMPRESS[suffix](plain)
    (tmp_path / f"a.{format}{suffix}").write_bytes(data[: len(data) * 2 // 3])
    documents, rejects = read_all(tmp_path)
    assert [d.doc_id for d in documents] == [str(i) for i in range(len(documents))]
    assert 1000 < len(documents) < 7900
    assert len(rejects) == 1
    assert "end early" in rejects[0].reason
    expected = len(documents) if format == "csv" else len(jsonl(rows[: len(documents)]))
    assert rejects[0].position == expected


def test_damage_inside_a_compressed_file_is_one_reject(tmp_path):
    data = bytearray(COMPRESS[".gz"](jsonl([{"text": f"{i} {i**5:x}"} for i in range(20_000)])))
    data[len(data) // 2 : len(data) // 2 + 50] = b"\xff" * 50
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    documents, rejects = read_all(tmp_path)
    assert documents
    assert "damaged" in rejects[-1].reason


def test_truncated_parquet_is_one_reject(tmp_path):
    data = parquet(tmp_path / "a.parquet", ROWS).read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:-10])
    documents, rejects = read_all(tmp_path)
    assert documents == []
    assert [r.position for r in rejects] == [0]


def test_damaged_row_group_keeps_the_rows_before(tmp_path):
    options = {"row_group_size": 5, "write_page_checksum": True, "compression": "none"}
    path = parquet(tmp_path / "a.parquet", ROWS, **options)
    data = bytearray(path.read_bytes())
    at = data.index(b"Text of 7")
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    documents, rejects = read_all(tmp_path)
    assert [d.doc_id for d in documents] == ["d0", "d1", "d2", "d3", "d4"]
    assert [r.position for r in rejects] == [5]
    assert "damaged Parquet" in rejects[0].reason


def test_invalid_utf8_in_parquet_rejects_its_row_only(tmp_path):
    text = pa.array([b"good", b"b\xffd", b"fine"], pa.binary()).view(pa.string())
    binary = pa.array([b"a", b"b", b"\xff"], pa.binary())
    parquet(tmp_path / "a.parquet", pa.table({"id": ["1", "2", "3"], "text": text, "tag": binary}))
    documents, rejects = read_all(tmp_path, metadata={"tag": "string"})
    assert [d.doc_id for d in documents] == ["1"]
    assert [(r.position, r.doc_id) for r in rejects] == [(1, "2"), (2, "3")]
    assert "invalid UTF-8 at byte 1" in rejects[0].reason
    assert "metadata field tag: invalid UTF-8" in rejects[1].reason


def test_reasons_are_one_short_printable_line(tmp_path):
    rows = [{"id": "i\x1b[31m\u202e\n" + "x" * 2000, "te\nxt\x1b]0;": "y" * 5000}]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    _, (found,) = read_all(tmp_path)
    assert (found.reason + found.doc_id).isprintable()
    assert len(found.reason) < 300
    assert len(found.doc_id) < 300
