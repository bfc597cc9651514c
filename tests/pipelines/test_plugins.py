"""Formats and chunking methods of other packages: used where a build enables them, and only there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import pipelines.sources.registry
import retrieval.plugins.registry
from pipelines.config.build_settings import validate
from pipelines.extraction.process import thread_extractor
from pipelines.planning.plan import make_plan
from pipelines.sources.document_format import limits
from pipelines.sources.files.listing import list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from retrieval.errors import ConfigError, InputError
from retrieval.storage.store import Store
from tests.tools.plugins.toy_plugins import write_toy_package

POEM = "Bees hum low\nin the clover\n==\nTides turn slowly\nunder the moon\nat night"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installed package that this process has not imported."""
    monkeypatch.syspath_prepend(folder := write_toy_package(tmp_path / "site"))
    yield folder
    for name in [name for name in sys.modules if name.startswith("corpusmill_toy")]:
        del sys.modules[name]
    for kept in (retrieval.plugins.registry._loaded, pipelines.sources.registry._by_suffix):
        kept.cache_clear()


def values(folder: Path, /, **sections: Any) -> dict[str, Any]:
    """A configuration that builds an index beside a folder of documents."""
    own = {"paths": [str(folder)], **sections.pop("corpus", {})}
    return {"corpus": own, "index": {"path": str(folder.parent / "index")}, **sections}


def imported() -> bool:
    return any(name.startswith("corpusmill_toy") for name in sys.modules)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.mark.timeout(600)
def test_a_build_uses_what_it_enables_and_its_index_is_searched_without(tmp_path: Path) -> None:
    site = write_toy_package(tmp_path / "site")
    corpus = write(tmp_path / "corpus", a_poem=POEM, b_shout="RIVERS RUN TO THE SEA")
    config = tmp_path / "build.yaml"
    options = {"poems": {"mark": "=="}}
    config.write_text(
        yaml.safe_dump(
            values(
                corpus,
                plugins=["poems", "shout", "verses"],
                corpus={"options": options},
                chunk={"method": "verses", "options": {"lines": 2}},
                dense={"tune_queries": 20},
                ray={"cpus": 1},
            )
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}

    def run(*words: str, **variables: str) -> Any:
        command = [sys.executable, "-m", "jobs", *words, "--json"]
        done = subprocess.run(command, env=environment | variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    built = run("build", str(config))
    assert (built["documents"], built["passages"], built["rejected"]) == (3, 4, 0)
    assert run("build", str(config))["changed"] is False
    # Searching needs no plug-in, nor that the package is installed.
    asked = ("search", str(tmp_path / "index"), "clover night rivers", "--mode", "lexical")
    hits = run(*asked, PYTHONPATH="")["hits"]
    assert {(hit["doc_id"], hit["text"]) for hit in hits} == {
        ("a.poem/0", "Bees hum low\nin the clover"),
        ("a.poem/1", "at night"),
        ("b.shout", "rivers run to the sea"),
    }


def test_nothing_is_loaded_because_it_is_installed(tmp_path: Path, installed: Path) -> None:
    corpus = write(tmp_path / "corpus", a_poem=POEM, b_txt="plain")
    config = validate(values(corpus, plugins=[]), "t")
    listing = list_files(config.corpus)
    assert [(file.name, file.format) for file in listing.files] == [("b.txt", "text")]
    assert listing.left_out == {".poem": 1}
    assert not imported()
    for section, name in (("corpus", {"format": "poems"}), ("chunk", {"method": "verses"})):
        with pytest.raises(ConfigError, match=r"not enabled: write `plugins: \[(poems|verses)\]`"):
            validate(values(corpus, **{section: name}), "t")
    with pytest.raises(ConfigError, match="not enabled"):  # enabling another one does not help
        validate(values(corpus, plugins=["poems"], chunk={"method": "verses"}), "t")
    assert not imported()


def test_enabled_formats_read_their_files(tmp_path: Path, installed: Path) -> None:
    corpus = write(tmp_path / "corpus", a_poem=POEM, b_txt="HELLO", c_shout="hang")
    settings = {"options": {"poems": {"mark": "=="}}, "extract_seconds": 1}
    config = validate(values(corpus, plugins=["poems", "shout"], corpus=settings), "t").corpus
    files = list_files(config).files
    assert [file.format for file in files] == ["poems", "shout", "shout"]  # before the formats of ours
    slices = list(cut_slices(files, 10**6, {}, config.plugins))
    poems, shouts = (list(read_slice(one, config, {})) for one in slices)
    assert [found.doc_id for found in poems] == ["a.poem/0", "a.poem/1"]
    parser = thread_extractor(limits(config))._process
    text, hung = shouts
    assert text.text == "hello"
    assert text.title.startswith("parsed in ") and text.title.endswith("more than it needs: False")
    assert str(os.getpid()) not in text.title
    assert parser is None  # ended for the time it took
    assert "extract_seconds" in hung.reason


def test_what_counts_for_the_fingerprint(tmp_path: Path, installed: Path, monkeypatch) -> None:
    corpus = write(tmp_path / "corpus", a_txt="one")
    store = Store(str(tmp_path / "index"))

    def parts(**sections: Any) -> str:
        config = validate(values(corpus, **sections), "t")
        return make_plan(config, store, lambda _text: None).build.passages.fingerprint

    plain = parts()
    assert parts(plugins=["poems"]) == plain  # a first version of a format changes nothing
    marked = parts(plugins=["poems"], corpus={"options": {"poems": {"mark": "=="}}})
    verses = parts(plugins=["verses"], chunk={"method": "verses"})
    longer = parts(plugins=["verses"], chunk={"method": "verses", "options": {"lines": 3}})
    assert len({plain, marked, verses, longer}) == 4
    same = parts(plugins=["verses"], chunk={"method": "verses", "options": {"lines": 1}})
    assert same == verses  # the default, said
    from corpusmill_toy.chunking import Verses

    monkeypatch.setattr(Verses, "code", 2)
    assert parts(plugins=["verses"], chunk={"method": "verses"}) not in (verses, longer)
    assert parts() == plain


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"plugins": ["poem"]}, "no installed package offers poem; offered are: .*poems"),
        ({"corpus": {"format": "docx"}}, r"corpus\.format: .*no such document format; the nearest one is"),
        ({"chunk": {"method": "recursiv"}}, r"chunk\.method: .*the nearest one is recursive, of fixed, none"),
        (
            {"plugins": ["broken"], "chunk": {"method": "broken"}},
            "corpusmill_toy.broken:METHOD of corpusmill-toy 1.5, cannot be loaded: ModuleNotFoundError: .*"
            "a_module_that_is_not_there",
        ),
        ({"plugins": ["odd"], "chunk": {"method": "odd"}}, "not a chunking method of this name"),
        (
            {"plugins": ["verses"], "chunk": {"method": "verses", "options": {"line": 2}}},
            r"chunk\.options: line: Extra inputs.*\n.*Settings of verses: lines",
        ),
        ({"plugins": ["text"]}, "plugins: text is the name of a document format of this package"),
        ({"chunk": {"options": {"lines": 2}}}, "options are of methods that are plug-ins"),
        ({"corpus": {"options": {"poems": {}}}}, "an installed plug-in offers it, which is not enabled"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, installed: Path, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(values(tmp_path / "corpus", **sections), "t")


def test_a_format_that_is_no_longer_enabled_reads_nothing(tmp_path: Path, installed: Path) -> None:
    corpus = write(tmp_path / "corpus", a_poem=POEM)
    enabled = validate(values(corpus, plugins=["poems"]), "t").corpus
    (found,) = cut_slices(list_files(enabled).files, 10**6, {}, enabled.plugins)
    without = validate(values(corpus), "t").corpus
    with pytest.raises(ConfigError, match="not enabled: poems would load corpusmill_toy.poems:FORMAT"):
        list(read_slice(found, without, {}))
    with pytest.raises(InputError, match=r"left out: 1 \.poem\n.*\.jsonl"):
        list_files(without)
