"""A corpus folder is read, not followed: links, special files and indexes in it are left out and counted."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

from jobs.commands.index_status import status, status_lines
from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.files.left_out import (
    MORE_EXTENSIONS,
    MOST_EXTENSIONS,
    ODD_EXTENSION,
    describe_left_out,
)
from pipelines.sources.files.listing import Listing, list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from retrieval.errors import InputError, StorageError
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.samples.source_samples import ROWS, jsonl

pytestmark = pytest.mark.timeout(120)  # what hangs is a failure
MARKER = json.dumps({"what": "corpusmill index", "format": 2}).encode()


def _list(*paths: object, **settings: Any) -> Listing:
    return list_files(CorpusSettings(paths=[str(path) for path in paths], **settings))


def _names(listing: Listing) -> list[str]:
    return [file.name for file in listing.files]


def _write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jsonl(ROWS[:1]))


@contextmanager
def _socket(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        yield


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with one file of its own, and links of every kind beside it."""
    folder = tmp_path / "corpus"
    _write(folder / "real.jsonl", folder / "sub/inner.jsonl", tmp_path / "secret/s.jsonl")
    links = {
        "out.jsonl": tmp_path / "secret/s.jsonl", "up.jsonl": "../secret/s.jsonl", "outside": "../secret",
        "sub/out": "../../secret", "self.jsonl": "self.jsonl", "a.jsonl": "b.jsonl", "b.jsonl": "a.jsonl",
        "loop": ".", "sub/loop": "..", "gone.jsonl": "nothing", "root": "/",
        "passwd.txt": "/etc/passwd", "zero.txt": "/dev/zero", "through.jsonl": "outside/s.jsonl",
    }  # fmt: skip
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return folder


def test_links_out_of_the_folder_and_in_circles_are_left_out(corpus: Path) -> None:
    listing = _list(corpus)
    assert _names(listing) == ["real.jsonl", "sub/inner.jsonl"]
    assert listing.left_out == {"link": 14}
    reasons = {os.path.relpath(url, corpus): reason for url, reason in listing.skipped}
    assert "corpus.follow_links" in reasons["out.jsonl"] and "to itself" in reasons["self.jsonl"]
    assert "to a folder" in reasons["loop"] and "to nothing" in reasons["gone.jsonl"]


@pytest.mark.parametrize("pattern", ["*", "**/*.jsonl", "*.jsonl", "*/*", "[a-z]*", "sub/*", "**"])
def test_globs_follow_no_more(corpus: Path, pattern: str) -> None:
    listing = _list(corpus / pattern)
    assert {Path(file.url).name for file in listing.files} <= {"real.jsonl", "inner.jsonl"}
    assert listing.files and set(listing.left_out) <= {"link"}


def test_links_within_the_folder_are_read(tmp_path: Path) -> None:
    _write(tmp_path / "c/data/a.jsonl")
    (tmp_path / "c/latest.jsonl").symlink_to("data/a.jsonl")
    assert _names(_list(tmp_path / "c")) == ["data/a.jsonl", "latest.jsonl"]
    (tmp_path / "linked").symlink_to(tmp_path / "c")  # who names a link means what it leads to
    assert _names(_list(tmp_path / "linked")) == ["data/a.jsonl", "latest.jsonl"]
    assert _names(_list(tmp_path / "c/latest.jsonl")) == ["latest.jsonl"]


def test_follow_links_takes_what_they_lead_to_once(tmp_path: Path) -> None:
    _write(tmp_path / "c/real.jsonl", tmp_path / "far/one.jsonl", tmp_path / "far/deep/two.jsonl")
    for name, target in {"far": tmp_path / "far", "loop": ".", "up": "..", "me.jsonl": "me.jsonl"}.items():
        (tmp_path / "c" / name).symlink_to(target)
    (tmp_path / "far/back").symlink_to(tmp_path / "c")
    (tmp_path / "c/one.jsonl").symlink_to(tmp_path / "far/one.jsonl")
    listing = _list(tmp_path / "c", follow_links=True)
    assert _names(listing) == ["far/deep/two.jsonl", "far/one.jsonl", "one.jsonl", "real.jsonl"]
    assert set(listing.left_out) == {"link"}
    for pattern in ("*", "**", "**/*.jsonl"):  # what it matches by several ways is still read to an end
        assert set(_names(_list(tmp_path / "c" / pattern, follow_links=True))) >= {"real.jsonl", "one.jsonl"}


@contextmanager
def _special(folder: Path, kind: str) -> Iterator[Path]:
    """A file of the kind with the name of a document."""
    path = folder / "x.jsonl"
    if kind == "FIFO":
        os.mkfifo(path)
        yield path
    elif kind == "socket":
        with _socket(path):
            yield path
    else:
        try:
            os.mknod(path, 0o600 | (0o020000 if kind == "device" else 0o060000), os.makedev(1, 5))
        except PermissionError:
            pytest.skip("devices are made by root alone")
        yield path


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "block device"])
@pytest.mark.parametrize("path", ["", "*", "*.jsonl", "**"])
def test_special_files_are_left_out(tmp_path: Path, kind: str, path: str) -> None:
    _write(tmp_path / "a.jsonl")
    with _special(tmp_path, kind):
        (tmp_path / "link.jsonl").symlink_to("x.jsonl")
        listing = _list(tmp_path / path)
    assert _names(listing) == ["a.jsonl"]
    assert listing.left_out == {kind.removeprefix("block "): 2}


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "block device"])
def test_a_special_file_that_is_named_is_an_error(tmp_path: Path, kind: str) -> None:
    with _special(tmp_path, kind) as path, pytest.raises(InputError, match=f"is a {kind[-6:].strip()}"):
        _list(path)
    with pytest.raises(InputError, match="is a device"):
        _list("/dev/zero")
    reader, writer = os.pipe()
    with pytest.raises(InputError, match="is a FIFO"):
        _list(f"/dev/fd/{reader}")  # as of a shell's <(...)
    os.close(reader)
    os.close(writer)


def test_a_link_to_itself_that_is_named_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "me").symlink_to("me")
    with pytest.raises(InputError, match="link to itself"):
        _list(tmp_path / "me")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet", "a.txt", "a.html", "a.pdf"])
def test_a_fifo_in_a_files_place_hangs_no_reader(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name)
    settings = CorpusSettings(paths=str(tmp_path))
    listed = list_files(settings).files
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(StorageError, match="it is not a regular file"):
        [list(read_slice(slice, settings, {})) for slice in cut_slices(listed, 10**6, {})]


def test_what_is_left_out_is_counted_by_extension_within_bounds(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", tmp_path / "Makefile")
    for number in range(212):
        (tmp_path / f"{number}.{'docx' if number % 2 else 'DOCX'}").touch()
    for number in range(100):
        (tmp_path / f"z.{number}ext").touch()
    for name in ("x. 3 links, 5 foo", "x.\x1b[2J", "x.\u202egnp", "x.\nfoo", f"x.{'y' * 200}", "x.a-b"):
        (tmp_path / name).touch()
    counts = _list(tmp_path).left_out
    assert counts[".docx"] == 212 and counts["no extension"] == 1 and counts[ODD_EXTENSION] == 4
    assert counts[MORE_EXTENSIONS] == 101 - MOST_EXTENSIONS and sum(counts.values()) == 319
    assert len(counts) < MOST_EXTENSIONS + 6 and all(name.isprintable() for name in counts)
    assert (
        describe_left_out({".docx": 1_212, "link": 3, "no extension": 1})
        == "1,212 .docx, 3 links, 1 no extension"
    )


def _index(folder: Path, marker: bytes = MARKER) -> None:
    _write(folder / "parts/x/rejects.jsonl", folder / "a.txt")
    (folder / "corpusmill.json").write_bytes(marker)


@pytest.mark.parametrize("path", ["", "*", "**", "**/*.jsonl", "*/*/*/*.jsonl"])
def test_an_index_in_a_corpus_is_left_out(tmp_path: Path, path: str) -> None:
    _write(tmp_path / "w/a/b/c/a.jsonl", tmp_path / "w/deep/own/c.jsonl")
    _index(tmp_path / "w/index")
    _index(tmp_path / "w/deep/index")
    listing = _list(tmp_path / "w" / path)
    assert not any("index" in file.url.removeprefix(str(tmp_path)) for file in listing.files)
    assert listing.files and set(listing.left_out) <= {"index of corpusmill"}
    if path in ("", "**"):
        assert listing.left_out == {"index of corpusmill": 2}


def test_links_into_an_index_are_left_out(tmp_path: Path) -> None:
    _write(tmp_path / "w/a.jsonl")
    _index(tmp_path / "w/index")
    _index(tmp_path / "other")
    (tmp_path / "w/in.jsonl").symlink_to("index/parts/x/rejects.jsonl")
    (tmp_path / "w/far.jsonl").symlink_to(tmp_path / "other/parts/x/rejects.jsonl")
    (tmp_path / "w/parts").symlink_to(tmp_path / "other/parts")
    (tmp_path / "w/whole").symlink_to(tmp_path / "other")
    for follow in (False, True):
        assert _names(_list(tmp_path / "w", follow_links=follow)) == ["a.jsonl"]
        assert _names(_list(tmp_path / "w/*", follow_links=follow)) == ["a.jsonl"]


@pytest.mark.parametrize("path", ["", "parts", "parts/x/rejects.jsonl", "*", "parts/**", "a.txt"])
def test_a_path_in_an_index_is_an_error_that_names_it(tmp_path: Path, path: str) -> None:
    _index(tmp_path / "index")
    (tmp_path / "linked").symlink_to("index")
    for start in ("index", "linked"):
        with pytest.raises(InputError, match=f"an index of corpusmill, {tmp_path}/index"):
            _list(tmp_path / start / path)


@pytest.mark.parametrize(
    "marker",
    [b"", b"{}", b"[1]", b"\xff", b"null", b'{"what": "a cup"}', b'{"what": ["corpusmill index"]}',
     b"[" * 50_000, MARKER + b" " * 70_000],
    ids=lambda marker: repr(marker[:20]),
)  # fmt: skip
def test_what_is_no_marker_makes_no_index(tmp_path: Path, marker: bytes) -> None:
    _index(tmp_path / "w", marker)
    assert _names(_list(tmp_path / "w")) == ["a.txt", "parts/x/rejects.jsonl"]


@pytest.mark.parametrize("kind", ["FIFO", "folder", "self", "gone"])
def test_a_marker_that_is_no_file_makes_no_index(tmp_path: Path, kind: str) -> None:
    _write(tmp_path / "a.txt")
    marker = tmp_path / "corpusmill.json"
    if kind == "FIFO":
        os.mkfifo(marker)
    elif kind == "folder":
        marker.mkdir()
    else:
        marker.symlink_to("corpusmill.json" if kind == "self" else "nothing")
    assert _names(_list(tmp_path)) == ["a.txt"]


@pytest.mark.parametrize("marker", [None, b"", MARKER[:20]])
def test_an_index_without_its_marker_is_one_by_its_version(tmp_path: Path, marker: bytes | None) -> None:
    _write(tmp_path / "w/a.jsonl")
    _index(tmp_path / "w/index", marker or b"")
    if marker is None:
        (tmp_path / "w/index/corpusmill.json").unlink()
    (tmp_path / "w/index/LATEST").write_text("3\n")
    (tmp_path / "w/index/versions").mkdir()
    (tmp_path / "w/index/versions/000003.json").write_text("{}")
    for path in ("w", "w/**", "w/*"):
        assert _names(_list(tmp_path / path)) == ["a.jsonl"]
    with pytest.raises(InputError, match="an index of corpusmill"):
        _list(tmp_path / "w/index/parts")


def test_indexes_on_other_storage() -> None:
    memory = fsspec.filesystem("memory")
    for key in ("a.jsonl", "index/parts/x/r.jsonl", "index/b.txt", "no/c.txt"):
        memory.pipe(f"/walk-test/{key}", jsonl(ROWS[:1]))
    memory.pipe("/walk-test/index/corpusmill.json", MARKER)
    memory.pipe("/walk-test/no/corpusmill.json", b"{}")
    try:
        for path in ("memory://walk-test", "memory://walk-test/**"):
            listing = _list(path)
            assert _names(listing) == ["a.jsonl", "no/c.txt"]
            assert listing.left_out["index of corpusmill"] == 1
        for path in ("index", "index/parts", "index/b.txt", "index/*"):
            with pytest.raises(InputError, match=r"an index of corpusmill, /walk-test/index"):
                _list(f"memory://walk-test/{path}")
    finally:
        memory.rm("/walk-test", recursive=True)


def test_a_build_tells_what_it_left_out(build: Any, tmp_path: Path, corpus: Path) -> None:
    write_jsonl(corpus / "real.jsonl", make_documents(10))
    (corpus / "sub/inner.jsonl").unlink()
    (corpus / "Makefile").touch()
    os.mkfifo(corpus / "f.jsonl")
    _index(corpus / "index")  # as of an earlier build: corpusmill build --corpus . --index index
    expected = {"link": 14, "no extension": 1, "FIFO": 1, "index of corpusmill": 1}
    built = build(corpus, tmp_path / "index", corpus={"metadata": "none"})
    assert built.manifest.left_out == built.left_out == expected and built.manifest.documents == 10
    sentence = "14 links, 1 FIFO, 1 index of corpusmill, 1 no extension"
    assert any(f"left out: {sentence}" in message for message in build.messages)
    found = status(Store(str(tmp_path / "index")))
    assert found["left_out"] == expected and f"left out: {sentence}" in status_lines(found)
    (corpus / "notes.docx").touch()
    again = build(corpus, tmp_path / "index", corpus={"metadata": "none"})
    assert not again.changed and again.left_out == {**expected, ".docx": 1}
