"""What README and docs/ say holds: settings, commands, links, and the worked example."""

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from jobs.cli import app
from pipelines.config.build_settings import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
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
    assert (ROOT / generator.SCHEMA).read_text("utf-8") == generator.schema(), "run: make docs"


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


def blocks(language: str) -> list[str]:
    """Code blocks of the README in one language."""
    return [code for kind, code in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if kind == language]


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


def test_the_python_of_the_readme_runs(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(library)
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "spring tides" in printed
    assert "harbour.md" in printed


def test_the_documented_columns_are_those_of_the_parts(library: Path) -> None:
    import pyarrow.parquet as pq

    documented = re.findall(
        r"^\| ((?:`[\w.]+`(?:, )?)+) \| (\w+)", "\n".join(sections("parts")), re.MULTILINE
    )
    names = {name: kind for cell, kind in documented for name in re.findall(r"`([\w.]+)`", cell)}
    part = next((library / "index" / "parts").rglob("*.parquet"))
    schema = pq.read_schema(part)
    real = {field.name: str(field.type) for field in schema if not field.name.startswith("metadata.")}
    names.pop("metadata.NAME")
    assert names == real
    assert {"metadata.year", "metadata.tags"} < set(schema.names)


def sections(word: str) -> Iterator[str]:
    """Texts of README's sections whose heading has the word."""
    for section in re.split(r"^## ", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE):
        if word in section.partition("\n")[0].lower():
            yield section


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
