"""Listing: what is taken, what is left out and why, names and order, and errors that help."""

import contextlib
import os
import tempfile
from pathlib import Path

import fsspec
import pytest

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.files.listing import list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from retrieval.errors import ConfigError, InputError, StorageError
from tests.tools.samples.source_samples import ROWS, jsonl, read_all


def _tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jsonl(ROWS[:1]))
    return folder


def _names(*paths, **settings):
    return [f.name for f in list_files(CorpusSettings(paths=[str(p) for p in paths], **settings)).files]


def test_folder_is_recursive_sorted_and_says_what_it_leaves_out(tmp_path):
    _tree(
        tmp_path, "b.jsonl", "a/z.csv.gz", "a/.hidden.jsonl", ".git/x.txt", "c.docx", "_SUCCESS", "Makefile"
    )
    _tree(tmp_path, "B.MD", "p.parquet.gz")
    listing = list_files(CorpusSettings(paths=str(tmp_path)))
    assert [(f.name, f.format, f.compression) for f in listing.files] == [
        ("B.MD", "markdown", None),
        ("a/z.csv.gz", "csv", "gzip"),
        ("b.jsonl", "jsonl", None),
    ]
    reasons = {os.path.relpath(url, tmp_path): reason for url, reason in listing.skipped}
    assert reasons["c.docx"] == "unknown extension .docx"
    assert reasons["a/.hidden.jsonl"] == reasons[".git/x.txt"] == "hidden"
    assert set(reasons) == {"c.docx", "a/.hidden.jsonl", ".git/x.txt", "_SUCCESS", "Makefile", "p.parquet.gz"}


def test_globs_files_and_several_paths(tmp_path):
    _tree(tmp_path, "x/a.jsonl", "x/b.jsonl", "x/c.txt", "y/a.jsonl", "y/deep/d.jsonl")
    assert _names(tmp_path / "x/*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert _names(tmp_path / "**/d.jsonl") == ["y/deep/d.jsonl"]
    assert _names(tmp_path / "*") == _names(tmp_path)
    assert _names(tmp_path / "y/a.jsonl", tmp_path / "x") == ["a.jsonl", "a.jsonl~2", "b.jsonl", "c.txt"]
    assert _names(tmp_path / "x", tmp_path / "x/a.jsonl", tmp_path / "x/*") == ["a.jsonl", "b.jsonl", "c.txt"]


def test_a_name_with_brackets_is_a_name(tmp_path):
    _tree(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert _names(tmp_path / "a[1].jsonl") == ["a[1].jsonl"]


def test_a_set_format_takes_named_files_and_unknown_extensions(tmp_path):
    _tree(tmp_path, "a.json", "b.txt", "c")
    assert _names(tmp_path, format="jsonl") == ["a.json", "c"]
    assert _names(tmp_path / "b.txt", format="jsonl") == ["b.txt"]
    assert len(read_all(tmp_path / "b.txt", format="jsonl")[0]) == 1


def test_beir_folder_gives_its_corpus_only(tmp_path):
    _tree(
        tmp_path,
        "one/corpus.jsonl.gz",
        "one/queries.jsonl",
        "two/corpus.jsonl",
        "two/qrels/test.tsv",
        "notes.txt",
    )
    _tree(tmp_path, "three/corpus.jsonl", "three/more.jsonl")
    found = ["one/corpus.jsonl.gz", "two/corpus.jsonl"]
    assert _names(tmp_path) == ["notes.txt", found[0], "three/corpus.jsonl", "three/more.jsonl", found[1]]
    assert _names(tmp_path / "two") == ["corpus.jsonl"]
    assert _names(tmp_path / "three", format="beir") == ["corpus.jsonl"]
    with pytest.raises(InputError, match=r"not a BEIR folder"):
        _names(tmp_path / "two/qrels", format="beir")


def test_links(tmp_path):
    _tree(tmp_path, "blobs/data.jsonl", "corpus/real.jsonl")
    (tmp_path / "corpus/link.jsonl").symlink_to(tmp_path / "blobs/data.jsonl")
    (tmp_path / "corpus/loop").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus/gone.jsonl").symlink_to(tmp_path / "nothing")
    listing = list_files(CorpusSettings(paths=str(tmp_path / "corpus"), follow_links=True))
    assert [f.name for f in listing.files] == ["link.jsonl", "real.jsonl"]
    assert {os.path.basename(url) for url, _ in listing.skipped} == {"loop", "gone.jsonl"}


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("corpus/wiki.jsonl", "does not exist", "Nearest in .*corpus: wikis.jsonl"),
        ("corups/wiki.jsonl", "does not exist", "Nearest in .*: corpus"),
        ("zzz", "does not exist", "Nothing in .* has a name like it"),
        ("corpus/*.csv", "nothing matches", "Nearest"),
        ("empty", "no input files in .*: it is empty", "extensions"),
        ("other", r"no input files in .*left out: 1 \.docx", "corpus.format"),
    ],
)
def test_nothing_found_names_what_is_near(tmp_path, path, message, hint):
    _tree(tmp_path, "corpus/wikis.jsonl", "corpus/zebra.txt", "other/a.docx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        _names(tmp_path / path)
    assert caught.match(hint)


def test_urls_that_no_file_system_serves():
    for url in ("nope://x/y.jsonl", "simplecache::s3://b/c.jsonl"):
        with pytest.raises(ConfigError, match=r"corpus\.paths: "):
            _names(url)


def test_any_fsspec_file_system(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/sources-test/in/a.jsonl", jsonl(ROWS))
    memory.pipe("/sources-test/b.txt", b"text")
    try:
        documents, rejects = read_all("memory://sources-test", slice_bytes=200)
        assert rejects == []
        assert [d.doc_id for d in documents] == ["b.txt", *(row["id"] for row in ROWS)]
        assert len(read_all("memory://sources-test/*/*.jsonl")[0]) == 10
    finally:
        memory.rm("/sources-test", recursive=True)


def _listed(tmp_path, name="a.jsonl"):
    corpus = CorpusSettings(paths=str(_tree(tmp_path, name)))
    (slice,) = cut_slices(list_files(corpus).files, 1000, {})
    return corpus, slice


def test_a_file_that_vanished_or_changed_is_a_storage_error(tmp_path):
    corpus, slice = _listed(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(jsonl(ROWS[:2]))
    with pytest.raises(StorageError, match="has changed since it was listed"):
        list(read_slice(slice, corpus, {}))
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(StorageError, match=r"cannot read .*a\.jsonl: FileNotFoundError"):
        list(read_slice(slice, corpus, {}))


@contextlib.contextmanager
def _unprivileged():
    """As a user whom permissions bind: root reads everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_a_storage_error_where_it_is_named_and_left_out_below():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        _tree(folder, "in/a.jsonl", "b.jsonl")
        with _unprivileged():
            assert _names(folder / "b.jsonl") == ["b.jsonl"]
        (folder / "in").chmod(0)
        try:
            with _unprivileged():
                assert _names(folder) == ["b.jsonl"]
                with pytest.raises(StorageError, match="PermissionError"):
                    _names(folder / "in")
        finally:
            (folder / "in").chmod(0o700)
