"""Names of files: white space, invisible letters and bytes that are not UTF-8 are read like others."""

import os

import pytest

from tests.tools.samples.source_samples import read_all

NAMES = [
    "a\u00a0b",
    "a\u202fb",
    "a\u3000b",
    "a\u200bb",
    "a\u200eb",
    "a\ufeffb",
    "a\u00adb",
    "e\u0301",
    "a b",
    "日本",
    "🇩🇪",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_that_look_odd_are_read(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.txt").write_text("x")
    for path in (tmp_path, tmp_path / name / f"{name}.txt"):
        (document,), rejects = read_all(path)
        assert rejects == []
        assert (document.title, document.doc_id.split("/")[-1]) == (name, f"{name}.txt")


def test_names_that_are_not_utf_8_are_read_and_told_as_text(tmp_path):
    folder = os.fsencode(tmp_path) + b"/d\xe9"
    os.mkdir(folder)
    for name, data in (
        (b"caf\xe9.txt", b"one"),
        (b"caf\xe8.jsonl", b'{"text": "two"}'),
        (b"caf\\xe9.txt", b"three"),
    ):
        with open(folder + b"/" + name, "wb") as file:
            file.write(data)
    documents, rejects = read_all(tmp_path)
    assert rejects == []
    assert {d.doc_id: d.text for d in documents} == {
        "d\\xe9/caf\\xe8.jsonl#0": "two", "d\\xe9/caf\\xe9.txt": "three", "d\\xe9/caf\\xe9.txt~2": "one",
    }  # fmt: skip
    for document in documents:
        assert f"{document.doc_id}{document.title}{document.source}".encode()
