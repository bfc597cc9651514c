"""What README and docs/ say holds: settings, commands, links, rooms, and the worked example."""

import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from jobs.cli import app
from pipelines.config.build_settings import BuildConfig, load_config
from pipelines.training import TrainConfig
from tests.tools.serving.stalled import KINDS

ROOT = Path(__file__).resolve().parents[2]
README, FORMAT = ROOT / "README.md", ROOT / "docs" / "format.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.yaml") if not path.stem.startswith("train-"))
PRINTED = {"README.md": "spring tides", "laptop.md": "'a1'", "format.md": "harbour.md"}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_current(generator: ModuleType) -> None:
    assert (ROOT / generator.REFERENCE).read_text("utf-8") == generator.reference(), "run: make docs"
    for path, config in ((generator.SCHEMA, BuildConfig), (generator.TRAIN_SCHEMA, TrainConfig)):
        assert (ROOT / path).read_text("utf-8") == generator.schema(config), "run: make docs"
    assert (ROOT / generator.ARCHITECTURE).read_text("utf-8") == generator.architecture(), "run: make docs"


def test_the_map_has_every_room_once(generator: ModuleType) -> None:
    text = (ROOT / generator.ARCHITECTURE).read_text("utf-8")
    mapped = re.findall(r"^\| \[`([\w/]+)/`\]", text, re.MULTILINE)
    folders = [
        door.parent.relative_to(ROOT).as_posix()
        for package in ("retrieval", "pipelines", "jobs")
        for door in (ROOT / package).rglob("__init__.py")
    ]
    assert sorted(mapped) == sorted(folders)
    empty = re.findall(r"^\| \[`([\w/]+)/`\]\(\S+\) \| +\|$", text, re.MULTILINE)
    assert empty == [], "their __init__.py does not say what they are for"


def test_the_glossary_has_every_term_once_in_order(generator: ModuleType) -> None:
    text = (ROOT / generator.ARCHITECTURE).read_text("utf-8")
    glossary = text.partition("\n## Glossary\n")[2].partition("\n## ")[0]
    terms = re.findall(r"^\| ([\w@ ]+?) \|", glossary, re.MULTILINE)[1:]
    assert terms == sorted(set(terms), key=str.lower)
    assert {"document", "passage", "slice", "part", "shard", "index", "run", "qrels", "version"} < set(terms)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_an_editor_accepts_what_a_build_accepts(path: Path) -> None:
    load_config(path)
    schema = json.loads((ROOT / "configs" / "schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text("utf-8")))


def command_lines() -> Iterator[Any]:
    """Every `corpusmill ...` in blocks and backticks of the pages and in cluster.yaml's comments."""
    for page in [*PAGES, ROOT / "cluster.yaml"]:
        text = page.read_text("utf-8")
        found = re.findall(r"(?<!`)`(corpusmill [^`]+)`(?!`)", text)
        for code in [text] if page.suffix == ".yaml" else [block[1] for block in BLOCK.findall(text)]:
            found += re.findall(r"^(?:\$|#|# +)? *(corpusmill .+)$", code, re.MULTILINE)
        for line in dict.fromkeys(found):
            yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", command_lines())
def test_commands_parse(line: str) -> None:
    group: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    for stop in ("&&", "|", ">"):
        words = words[: words.index(stop)] if stop in words else words
    with group.make_context("corpusmill", words, resilient_parsing=words[0] == "--help") as context:
        name, command, rest = group.resolve_command(context, words)
        if rest:  # a name alone is a mention of the command, not a use
            command.make_context(name, rest, parent=context)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = BLOCK.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_resolve(page: Path) -> None:
    text = BLOCK.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_reached_from_the_readme(page: Path) -> None:
    reached, waiting = {README}, [README]
    while waiting:
        start = waiting.pop()
        text = BLOCK.sub("", start.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)\s#]+\.md)(?:#[^)\s]*)?\)", text):
            found = (start.parent / target).resolve()
            if "://" not in target and found not in reached and found.exists():
                reached.add(found)
                waiting.append(found)
    assert page in reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_list_of_contents_names_the_sections_in_order(page: Path) -> None:
    text = BLOCK.sub("", page.read_text("utf-8"))
    listed = re.findall(r"^- \[(.+)\]\(#", text.partition("\n## ")[0], re.MULTILINE)
    if listed:
        assert listed == re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_pages_that_code_names_exist() -> None:
    """A page named in a message, a comment or a file for clusters is there."""
    folders = ("retrieval", "pipelines", "jobs", "deploy", "configs", "benchmarks", "examples")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path.read_text("utf-8", "ignore") for path in [*files, ROOT / "Makefile", ROOT / "cluster.yaml"]]
    named = {name for text in texts for name in re.findall(r"\bdocs/[\w/-]+\.md\b", text)}
    assert "docs/operations.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def blocks(language: str, page: Path = README) -> list[str]:
    """Code blocks of a page in one language."""
    return [code for kind, code in BLOCK.findall(page.read_text("utf-8")) if kind == language]


@pytest.fixture(scope="module")
def library(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """README's worked example, built as it stands there."""
    from pipelines.index import build

    folder = tmp_path_factory.mktemp("library")
    (folder / "articles.jsonl").write_text(blocks("json")[0], "utf-8")
    (folder / "notes").mkdir()
    (folder / "notes" / "harbour.md").write_text(blocks("markdown")[0], "utf-8")
    (folder / "library.yaml").write_text(blocks("yaml")[0], "utf-8")
    build(load_config(folder / "library.yaml"), "corpusmill build library.yaml", lambda _event: None)
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks("python", page)], ids=lambda page: page.name
)
def test_the_python_of_a_page_runs(
    page: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks marked `python` run beside the worked example; what cannot is marked `py`."""
    monkeypatch.chdir(library)
    for code in blocks("python", page):
        exec(compile(code, page.name, "exec"), {})
    assert PRINTED[page.name] in capsys.readouterr().out


def test_three_pages_have_python_that_runs() -> None:
    assert {page.name for page in PAGES if blocks("python", page)} == set(PRINTED)


def test_the_documented_columns_are_those_of_the_parts(library: Path) -> None:
    import pyarrow.parquet as pq

    section = FORMAT.read_text("utf-8").partition("\n## The parts, for pandas\n")[2]
    documented = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \| (\w+)", section, re.MULTILINE)
    names = {name: kind for cell, kind in documented for name in re.findall(r"`([\w.]+)`", cell)}
    part = next((library / "index" / "parts").rglob("*.parquet"))
    schema = pq.read_schema(part)
    real = {field.name: str(field.type) for field in schema if not field.name.startswith("metadata.")}
    names.pop("metadata.NAME")
    assert names == real
    assert {"metadata.year", "metadata.tags"} < set(schema.names)


def test_the_documented_files_are_those_of_an_index(library: Path) -> None:
    """Every folder and file at the top of an index stands in the layout."""
    layout = FORMAT.read_text("utf-8").partition("\n## Layout\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([\w.]+)", layout, re.MULTILINE))
    assert {path.name for path in (library / "index").iterdir()} <= documented


def test_the_documented_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "docs" / "laptop.md").read_text("utf-8")
    table = text.partition("| extra |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(project["optional-dependencies"])


def test_the_stalled_kinds_are_those_that_the_benchmark_has() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    rows = text.partition("\n## Stalled clients\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (.+?) \| [\d.]+ \|$", rows, re.MULTILINE) == list(KINDS)


def test_every_benchmark_that_is_named_is_there() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    named = set(re.findall(r"\bbenchmarks/(\w+/\w+\.py)", text))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / "benchmarks" / name).exists()] == []


def test_the_readme_is_short_and_has_its_order() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 220
    headings = re.findall(r"^## (.+)$", BLOCK.sub("", text), re.MULTILINE)
    assert headings == [
        "Two commands", "Your own files", "A service, and answers", "On a cluster", "What it does not do",
        "How it compares", "Where to read on",
    ]  # fmt: skip


def test_documented_environment_variables_are_used() -> None:
    """A variable of our own that operators read about exists in the code, and the other way round."""
    code = "".join(
        path.read_text("utf-8")
        for package in ("retrieval", "pipelines", "jobs")
        for path in (ROOT / package).rglob("*.py")
    )
    told = (ROOT / "docs" / "operations.md").read_text("utf-8")
    own = re.compile(r"\bCORPUSMILL_[A-Z_]+\b")
    assert set(own.findall(told)) == set(own.findall(code))
