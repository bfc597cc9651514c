"""Keys of an index lead nowhere else: hostile names are refused where they enter, links out not followed."""

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import CorpusmillError, IndexDamaged
from retrieval.storage.keys import FileRecord, is_written_by_us
from retrieval.storage.store import Store

DIGEST = "0" * 64
HOSTILE = [
    "../../x", "/x", "a/../x", "a/..", "..", ".", "", "a//b", "a/./b", "a/", "//x", "a\0b", "a\nb", "C:/x",
    "C:x", "a\\..\\x", "\\\\host\\x", "~\x7f", "a\u2028b", "\ud800", "x" * 2000, "a/" + "\u00e9" * 200,
]  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE, ids=ascii)
def test_a_hostile_key_is_refused_where_it_enters(key: str, tmp_path: Path) -> None:
    with pytest.raises(IndexDamaged, match=r"names a file|no "):
        FileRecord(key, 1, DIGEST)
    if key:
        with pytest.raises(IndexDamaged):
            Store(str(tmp_path / "index")).read(key)


@given(st.text(max_size=60))
def test_a_key_that_is_taken_stays_inside(key: str) -> None:
    try:
        record = FileRecord(key, 0, DIGEST)
    except IndexDamaged:
        return
    root = "/srv/index"
    assert os.path.normpath(f"{root}/{record.key}") == f"{root}/{record.key}"
    assert f"{root}/{record.key}".startswith(root + "/")


@pytest.mark.parametrize("size", [-1, 1.5, "1", True, None])
def test_a_size_is_a_count_of_bytes(size: object) -> None:
    with pytest.raises(IndexDamaged, match="no size"):
        FileRecord("a", size, DIGEST)  # type: ignore[arg-type]


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64, "A" * 64, None, 7])
def test_a_digest_is_a_digest(digest: object) -> None:
    with pytest.raises(IndexDamaged, match="no SHA-256"):
        FileRecord("a", 1, digest)  # type: ignore[arg-type]


def test_links_out_of_an_index_are_neither_read_nor_written(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("mine")
    index = tmp_path / "index"
    index.mkdir()
    (index / "file").symlink_to(outside / "secret")
    (index / "folder").symlink_to(outside)
    store = Store(str(index))
    for key in ("file", "folder/secret"):
        for use in (
            store.read,
            store.exists,
            lambda key: store.put(key, b"x"),
            lambda key: store.create(key, b"x"),
        ):
            with pytest.raises(IndexDamaged, match="by a link"):
                use(key)
        with pytest.raises(IndexDamaged, match="by a link"):
            store.local(FileRecord(key, 4, DIGEST), tmp_path / "cache")
    assert (outside / "secret").read_text() == "mine"
    assert sorted(os.listdir(outside)) == ["secret"]


def test_links_inside_an_index_and_an_index_behind_a_link_are_taken(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "index"))
    store.put("a/b", b"one")
    (tmp_path / "index" / "c").symlink_to("a")
    assert store.read("c/b") == b"one"
    (tmp_path / "elsewhere").symlink_to(tmp_path / "index")
    assert Store(str(tmp_path / "elsewhere")).read("a/b") == b"one"


@pytest.mark.parametrize(
    "key",
    [
        "tmp/notes.txt", "models/my-model/config.json", "parts/thesis.docx", "versions/draft.json", "dense/x",
        "a.json", "versions/000001.json.bak", "tmp/corpusmill-notes", "lease/1.json", "tokens/codecs",
        "models/0123456789abcdef",
        "passages/0123456789abcdef/holiday.arrow", "lexical/0123456789abcdef/statistics/me.txt",
    ],
)  # fmt: skip
def test_what_people_name_is_not_ours(key: str) -> None:
    assert not is_written_by_us(key)


def test_a_folder_that_becomes_a_link_is_looked_at_again(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    store = Store(str(tmp_path / "index"))
    store.put("parts/x", b"ours")
    assert store.read("parts/x") == b"ours"
    (tmp_path / "index" / "parts").rename(tmp_path / "was")
    (tmp_path / "index" / "parts").symlink_to(outside)
    (outside / "x").write_bytes(b"theirs")
    for use in (store.read, lambda key: store.put(key, b"ours"), lambda key: store.delete([key])):
        with pytest.raises(IndexDamaged, match="by a link"):
            use("parts/x")
    assert (outside / "x").read_bytes() == b"theirs"
    assert store.find("") == {}


def test_of_a_link_it_is_the_link_that_is_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    store = Store(str(tmp_path / "index"))
    store.put("parts/x", b"ours")
    (tmp_path / "index" / "parts" / "y").symlink_to(tmp_path / "mine")
    assert set(store.find("parts")) == {"parts/x", "parts/y"}
    store.delete(["parts/y"])
    assert set(store.find("parts")) == {"parts/x"}
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("kind", ["fifo", "folder", "itself"])
def test_what_is_no_file_in_the_place_of_one_is_told_at_once(tmp_path: Path, kind: str) -> None:
    store = Store(str(tmp_path))
    if kind == "fifo":
        os.mkfifo(tmp_path / "LATEST")
    elif kind == "folder":
        (tmp_path / "LATEST").mkdir()
    else:
        (tmp_path / "LATEST").symlink_to("LATEST")
    for use in (store.read, store.read_json, store.read_or_none):
        with pytest.raises(CorpusmillError):
            use("LATEST")
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(CorpusmillError):
        Store(str(loop)).put("x", b"")


@pytest.mark.parametrize("key", ["%2e%2e/secret", "a?b", "a#b", "a%2fb"])
def test_a_key_on_http_names_what_it_says(key: str) -> None:
    path = Store("http://127.0.0.1:1/index").path(key)
    assert path.startswith("http://127.0.0.1:1/index/")
    assert unquote(path.removeprefix("http://127.0.0.1:1/index/")) == key
    assert not set("?#") & set(path)
    assert "%2e" not in path
