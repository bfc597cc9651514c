"""What a user may not read stops no build: it is left out and counted; only what is named is an error."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.samples.source_samples import ROWS, jsonl

_AS_NOBODY = """
import json, os, sys, tempfile
from pathlib import Path
from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.files import list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from retrieval.errors import CorpusmillError

def look(corpus):
    listing = list_files(corpus)
    slices = list(cut_slices(listing.files, 10**6, {}))
    documents = [type(item).__name__ for slice in slices for item in read_slice(slice, corpus, {})]
    return [[file.name for file in listing.files], listing.left_out, documents]

with tempfile.TemporaryDirectory() as folder:  # modules are imported while they may be read
    for name in ("a.txt", "a.md", "a.jsonl", "a.csv", "a.html"):
        (Path(folder) / name).write_text('{"text": "x"}')
    look(CorpusSettings(paths=folder))
if not os.geteuid():
    os.setgid(65534)
    os.setuid(65534)
for paths, settings in json.load(sys.stdin):
    try:
        found = look(CorpusSettings(paths=paths, **settings))
    except CorpusmillError as error:
        found = [type(error).__name__, str(error), ""]
    print(json.dumps(found))
"""


def _list(*asked: tuple[Path | str, dict[str, Any]]) -> list[list[Any]]:
    """(names, what is left out, items read) of each corpus, or the error, as a user whom modes bind."""
    given = json.dumps([[[str(path)], settings] for path, settings in asked])
    ran = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY],
        input=given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _write(path: Path, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jsonl(ROWS[:1]))
    path.chmod(mode)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        _write(folder / "c/a.jsonl")
        yield folder
        for path, _, _ in os.walk(folder):  # so that another user may remove them
            Path(path).chmod(0o755)
        subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=False)


def _closed(folder: Path, mode: int = 0) -> None:
    _write(folder / "x.jsonl")
    folder.chmod(mode)


KINDS: dict[str, Any] = {
    "a folder that may not be listed": lambda c, out: _closed(c / "priv"),
    "a folder that may be listed alone": lambda c, out: _closed(c / "priv", 0o744),
    "a folder that may be entered alone": lambda c, out: _closed(c / "priv", 0o711),
    "a folder deep in": lambda c, out: _closed(c / "sub/sub/priv"),
    "a file": lambda c, out: _write(c / "u.jsonl", 0),
    "a file of another format": lambda c, out: _write(c / "u.pdf", 0o200),
}
LINKS: dict[str, Any] = {
    "a link to a file in a closed folder": lambda c, out: (c / "l.jsonl").symlink_to(out / "priv/x.jsonl"),
    "a link to a closed folder": lambda c, out: (c / "l").symlink_to(out / "priv"),
    "a link to a folder in a closed one": lambda c, out: (c / "l").symlink_to(out / "priv/sub"),
    "a link to a closed file": lambda c, out: (c / "l.jsonl").symlink_to(_write(out / "u.jsonl", 0)),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_may_not_be_read_is_left_out(folder: Path, name: str) -> None:
    KINDS[name](folder / "c", folder)
    asked = [folder / "c", folder / "c/*", folder / "c/**", folder / "*"]
    found = _list(*((path, {}) for path in asked), (folder / "c", {"follow_links": True}))
    for names, left_out, items in found:
        assert names in (["a.jsonl"], ["c/a.jsonl"]), (names, left_out)
        assert items == ["Document"]
    assert found[0][1] == found[4][1] == {"unreadable": 1}


@pytest.mark.parametrize("name", LINKS)
def test_links_to_what_may_not_be_read_are_left_out(folder: Path, name: str) -> None:
    LINKS[name](folder / "c", folder)
    (folder / "priv/sub").mkdir(parents=True)
    _closed(folder / "priv")
    plain, followed = _list((folder / "c", {}), (folder / "c", {"follow_links": True}))
    assert plain == [["a.jsonl"], {"link": 1}, ["Document"]]
    assert followed == [["a.jsonl"], {"unreadable": 1}, ["Document"]]


@pytest.mark.parametrize("pattern", ["", "/*", "/**"])
def test_a_tree_deeper_than_a_path_may_be_long_is_read_as_far_as_it_goes(folder: Path, pattern: str) -> None:
    here = os.getcwd()
    try:
        os.chdir(folder / "c")
        for _ in range(60):
            os.mkdir("x" * 100)
            os.chdir("x" * 100)
        Path("deep.jsonl").write_bytes(jsonl(ROWS[:1]))
    finally:
        os.chdir(here)
    try:
        ((names, left_out, items),) = _list((f"{folder}/c{pattern}", {}))
        assert names == ["a.jsonl"] and items == ["Document"]
        assert left_out == {"unreadable": 1}
    finally:
        subprocess.run(["rm", "-rf", str(folder / "c")], check=True)


@pytest.mark.parametrize("kind", ["file", "folder", "folder without x", "in a closed folder", "below a file"])
def test_what_is_named_and_may_not_be_read_is_an_error(folder: Path, kind: str) -> None:
    _write(folder / "u.jsonl", 0)
    _closed(folder / "priv")
    _closed(folder / "listed", 0o744)
    path = {
        "file": "u.jsonl", "folder": "priv", "folder without x": "listed",
        "in a closed folder": "priv/x.jsonl", "below a file": "c/a.jsonl/x",
    }[kind]  # fmt: skip
    ((error, message, _),) = _list((folder / path, {}))
    assert error in ("StorageError", "InputError") and str(folder / path) in message
    assert "ermission" in message or kind == "below a file"
