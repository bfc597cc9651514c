"""Tables of text: delimiters, quotes, headers, line ends and encodings, as they are found or as it is set."""

import pytest
from pydantic import ValidationError

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.formats.csv import FORMAT
from retrieval.errors import ConfigError
from tests.tools.samples.source_samples import read_all, read_noted


def _texts(folder, name, data, **settings):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    documents, rejects, notes = read_noted(folder / name, **settings)
    assert rejects == []
    return [d.text for d in documents], notes


def test_quotes_in_tsv_are_characters(tmp_path):
    rows = [
        '"Open the hatch, said the mate',
        'and shut it"',
        '"whole"',
        '"Half" quoted',
        'a 7" pipe',
        '""',
        "\\",
    ]
    data = "id\ttext\r\n" + "".join(f"{i}\t{row}\r\n" for i, row in enumerate(rows))
    assert _texts(tmp_path, "a.tsv", data) == (rows, [])


def test_tsv_that_quotes_its_header_quotes_its_values(tmp_path):
    texts, notes = _texts(tmp_path, "a.tsv", '"id"\t"text"\n"1"\t"a\tb"\n')
    assert texts == ["a\tb"]
    assert notes == ["values are quoted, as in CSV, by the first line"]


def test_a_table_without_a_header(tmp_path):
    settings = {"options": {"tsv": {"header": "none", "columns": ["id", "text"]}}}
    (tmp_path / "collection.tsv").write_text('0\tThe "hatch" is shut.\n1\t"Open it\n')
    documents, _ = read_all(tmp_path, **settings)
    assert [(d.doc_id, d.text, d.position) for d in documents] == [
        ("0", 'The "hatch" is shut.', 0), ("1", '"Open it', 1),
    ]  # fmt: skip
    _, (found,) = read_all(tmp_path)
    assert "without a header: corpus.options.tsv.header: none, and columns" in found.reason


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('id;text\n1;"one, two"\n', "values are apart by ';', by the first line"),
        ("id\ttext\n1\tone, two\n", "values are apart by tabs, by the first line"),
        ("id|text\n1|one, two\n", "values are apart by '|', by the first line"),
        ('"id";"text"\n1;"one, two"\n', "values are apart by ';', by the first line"),
        ("sep=;\nid;text\n1;one, two\n", "values are apart by ';', as the file says"),
        ('id,text\r1,"one, two"\r', "lines end with CR alone"),
        (",id,text\n0,1,\"one, two\"\n", "columns without a name were left out: 1"),
    ],
)  # fmt: skip
def test_how_a_file_is_written_is_found_and_said(tmp_path, data, said):
    assert _texts(tmp_path, "a.csv", data) == (["one, two"], [said])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", 'id,text\r\n1,Grüße\r\n2,"a ""b"""\r\n'),
        ("a.tsv", 'id\ttext\r\n1\tGrüße\r\n2\ta "b"\r\n'),
        ("a.jsonl", '{"text": "Grüße"}\r\n{"text": "a \\"b\\""}\r\n'),
    ],
)
def test_wide_encodings_of_records(tmp_path, name, data, encoding):
    texts, notes = _texts(tmp_path, name, data.encode(encoding), slice_bytes=30)
    assert texts == ["Grüße", 'a "b"']
    assert [note for note in notes if "guessed" not in note] == []
    assert len(notes) == (1 if encoding.endswith("e") else 0)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", "id,text\n" + "1,Die Größe der Straße für alle Gäste\n" * 3),
        ("a.jsonl", '{"text": "Die Größe der Straße für alle Gäste"}\n' * 3),
    ],
)
def test_records_of_other_encodings_are_read_and_counted(tmp_path, name, data):
    expected = ["Die Größe der Straße für alle Gäste"] * 3
    guessed = (expected, ["decoded as windows-1252, which was guessed"] * 3)
    if name.endswith("jsonl"):
        assert _texts(tmp_path, name, data.encode("cp1252")) == guessed
    else:
        texts, notes = _texts(tmp_path, name, data.encode("cp1252"))
        assert (texts, set(notes)) == (expected, set(guessed[1]))
    assert _texts(tmp_path, name, data.encode("cp437"), encoding="cp437") == (expected, [])


def test_one_invalid_byte_is_replaced_where_the_file_is_utf_8(tmp_path):
    data = '{"text": "Grüße"}\n'.encode() + b'{"text": "a \xff b"}\n'
    texts, notes = _texts(tmp_path, "a.jsonl", data)
    assert texts == ["Grüße", "a \ufffd b"]
    assert notes == ["invalid utf-8 was replaced by U+FFFD: 1 times"]
    for beginning, encoding in ((b"", "utf-8"), (b"\xef\xbb\xbf", "")):  # which leave nothing to guess
        data = beginning + b'{"text": "caf\xe9"}\n'
        assert _texts(tmp_path, "a.jsonl", data, encoding=encoding) == (["caf\ufffd"], notes)


@pytest.mark.parametrize("header", ["id,text,text", "id,text,x,x", "id,text,x, x"])
def test_two_columns_with_one_name_are_an_error(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}\n" + ",".join("abcd"[: header.count(",") + 1]) + "\n")
    documents, (found,) = read_all(tmp_path)
    assert documents == []
    assert "two columns have one name" in found.reason


@pytest.mark.parametrize(
    "wrong",
    [{"delimiter": "ab"}, {"header": "none"}, {"columns": ["a"]}, {"header": "none", "columns": ["a", "a"]}],
)
def test_settings_that_contradict_themselves_are_refused(wrong):
    corpus = CorpusSettings(paths="x", options={"csv": wrong})
    with pytest.raises(ConfigError, match=r"corpus\.options\.csv"):
        FORMAT.own(corpus)
    with pytest.raises(ValidationError, match="no encoding"):
        CorpusSettings(paths="x", encoding="klingon")
