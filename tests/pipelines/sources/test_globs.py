"""Globs and web servers reach what is named and nothing beside it; URLs of other kinds are refused."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.config.build_settings import validate
from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.files import web
from pipelines.sources.files.listing import Listing, list_files
from pipelines.sources.files.web import is_below
from retrieval.errors import ConfigError, InputError, StorageError
from retrieval.storage.store import Store
from tests.tools.samples.source_samples import ROWS, jsonl

pytestmark = pytest.mark.timeout(120)


def _list(*paths: object, **settings: Any) -> Listing:
    return list_files(CorpusSettings(paths=[str(path) for path in paths], **settings))


def _read(listing: Listing, root: Path) -> list[str]:
    return sorted(str(Path(file.url).relative_to(root)) for file in listing.files)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two people's folders; links lead from one's documents into the other's and within the own ones."""
    for name in ("a/docs/own.jsonl", "a/docs/sub/in.jsonl", "b/docs/other.jsonl", "b/private/s.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jsonl(ROWS[:1]))
    links = {
        "a/docs/l.jsonl": tmp_path / "b/private/s.jsonl", "a/docs/up.jsonl": "../../b/private/s.jsonl",
        "a/docs/folder": tmp_path / "b/private", "a/docs/sub/far.jsonl": "../../../b/private/s.jsonl",
        "a/docs/within.jsonl": "sub/in.jsonl", "a/docs/neighbour.jsonl": "../../b/docs/other.jsonl",
    }  # fmt: skip
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


OWN = ["a/docs/own.jsonl", "a/docs/sub/in.jsonl", "a/docs/within.jsonl", "b/docs/other.jsonl"]
SHALLOW = ["a/docs/own.jsonl", "a/docs/within.jsonl", "b/docs/other.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*/docs", OWN), ("*/docs/**", OWN), ("*/docs/*.jsonl", SHALLOW), ("[ab]/docs", OWN),
        ("*/doc?", OWN), ("**/docs", OWN), ("*/d*/*", OWN), ("*/docs/l.jsonl", []), ("*/docs/folder", []),
        ("*/docs/folder/*", []), ("*/docs/sub/*.jsonl", ["a/docs/sub/in.jsonl"]),
    ],
)  # fmt: skip
def test_a_glob_widens_no_folder(home: Path, pattern: str, expected: list[str]) -> None:
    if not expected:
        with pytest.raises(InputError, match="no input files|nothing matches"):
            _list(home / pattern)
        return
    listing = _list(home / pattern)
    found = _read(listing, home)
    assert not any("private" in str(Path(file.url).resolve()) for file in listing.files)
    assert "a/docs/neighbour.jsonl" not in found
    assert set(expected) <= set(found) <= set(OWN)
    assert set(listing.left_out) <= {"link"}


def test_a_glob_of_a_whole_folder_is_the_folder(home: Path) -> None:
    named, globbed = _list(home), _list(home / "**")
    assert _read(named, home) == _read(globbed, home)
    assert named.left_out == globbed.left_out == {"link": 1}  # the one to a folder: it is read where it lies


def test_globs_follow_links_where_the_configuration_says_so(home: Path) -> None:
    found = _read(_list(home / "*/docs", follow_links=True), home)
    assert {"a/docs/l.jsonl", "a/docs/neighbour.jsonl", "a/docs/folder/s.jsonl"} <= set(found)


class _Pages(http.server.BaseHTTPRequestHandler):
    links: ClassVar[str] = ""
    seen: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.seen.append(self.path)
        is_file = self.path.endswith(".jsonl")
        body = jsonl(ROWS[:1]) if is_file else self.links.encode()
        self.send_response(404 if "*" in self.path or "%2A" in self.path else 200)
        self.send_header("content-type", "application/json" if is_file else "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _Pages.seen.clear()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _page(*links: str) -> str:
    return "".join(f'<a href="{link}">x</a>' for link in links)


OUTSIDE = [
    "../secret/t.jsonl", "%2e%2e/secret/t.jsonl", "..%2fsecret/t.jsonl", "/docs/../secret/s.jsonl",
    "sub/../../secret/t.jsonl", "./../secret/t.jsonl", "..\\secret/t.jsonl", "/secret/s.jsonl",
    "http://127.0.0.1:1/x.jsonl", "//127.0.0.1:1/y.jsonl", "../secret/", "../../", "/", "..",
]  # fmt: skip


@pytest.mark.parametrize("path", ["docs/**", "docs/*.jsonl", "docs/*"])
def test_a_page_names_nothing_outside_its_folder(site: str, path: str) -> None:
    _Pages.links = _page("a.jsonl", *OUTSIDE)
    listing = _list(f"{site}/{path}")
    assert f"{site}/docs/a.jsonl" in [file.url for file in listing.files]
    assert all(is_below(file.url, f"{site}/docs") for file in listing.files)
    assert not any("secret" in path for path in _Pages.seen)


@pytest.mark.parametrize("links", [["a.jsonl", "sub/"], ["sub/"], ["x/", "y/", "z/"], ["../docs/sub/", "s/"]])
def test_folders_without_end_are_an_error(site: str, links: list[str], monkeypatch: Any) -> None:
    _Pages.links = _page(*links)
    if len(links) == 3:
        monkeypatch.setattr(web, "MOST_FOLDERS", 300)
    with pytest.raises(InputError, match="have no end"):
        _list(f"{site}/docs/**")
    assert len(_Pages.seen) < 1000


REFUSED = [
    "ftp://x", "zip://x.zip", "dir://x", "generic://x", "reference://x", "jupyter://x", "github://a:b@c/d",
    "git://x", "data:text/plain,hello.txt", "data:;base64,aGk=", "python://x", "\x1b[2J://x", "dask://x",
    "libarchive://x", "blockcache::file://x", "smb://x", "ssh://-oProxyCommand=touch/x", "sftp://x/y",
    "cached://x", "simplecache://x", "filecache://x", "arrow_hdfs://x", "hf://x", "zip://a::s3://b", "nope://x",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_urls_of_other_kinds_are_refused(url: str) -> None:
    known = "file://, local://, s3://, s3a://, gs://, gcs://, http://, https://"
    for attempt in (
        lambda: _list(url),
        lambda: validate({"corpus": {"paths": url}, "index": {"path": "x"}}, "a"),
        lambda: validate({"corpus": {"paths": "x"}, "index": {"path": url}}, "a"),
    ):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert known in f"{caught.value.hint}" and caught.value.message.isprintable()
    with pytest.raises(StorageError, match="cannot be read"):
        Store(url)


@pytest.mark.parametrize("key", ["corpus", "index"])
def test_the_memory_of_one_process_is_no_place_for_a_build(key: str) -> None:
    values = {"corpus": {"paths": "x"}, "index": {"path": "y"}}
    values[key] = {"paths" if key == "corpus" else "path": "memory://x"}
    with pytest.raises(ConfigError, match="memory"):
        validate(values, "a")


def test_a_local_path_may_be_written_as_a_url(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(ROWS[:1]))
    for url in (f"file://{tmp_path}", f"local://{tmp_path}", str(tmp_path)):
        assert [file.name for file in _list(url).files] == ["a.jsonl"]
