"""A generator is one file: choices, its settings, the reference and errors follow from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

import retrieval
from jobs.arguments import generation
from jobs.cli import app
from retrieval.errors import ConfigError
from retrieval.generation.kinds.registry import KINDS
from retrieval.generation.settings import GenerationSettings

TOY = """
from pydantic import Field
from retrieval.generation.kinds.kind import GeneratorSettings, Kind

class ToySettings(GeneratorSettings):
    echo: int | None = Field(None, gt=0, description="toy: how often.")

class Toy:
    name = "toy"
    def __init__(self, settings):
        self.echo = settings.echo
    def count_tokens(self, text):
        return len(text)
    async def stream(self, prompt, *, max_tokens, temperature, stop):
        for _ in range(self.echo):
            yield "ha"

TOY = Kind("toy", "says ha", lambda settings, threads: Toy(settings), model="no matter", settings=ToySettings,
           needs=("echo",))
"""
TRY = """
import asyncio, sys
from pydantic import ValidationError
from retrieval.generation import GenerationSettings
assert "torch" not in sys.modules and "numpy" not in sys.modules
from retrieval.generation import open_generator

described = GenerationSettings.model_json_schema()["properties"]
assert "toy" in described["kind"]["enum"] and "toy: says ha." in described["kind"]["description"]
assert "toy: no matter." in described["model"]["description"] and "echo" in described
try:
    GenerationSettings(kind="toy")
except ValidationError as error:
    assert "kind toy needs `echo`" in str(error)
settings = GenerationSettings.model_validate({"kind": "toy", "echo": 2})
toy = open_generator(settings)

async def said():
    return [text async for text in toy.stream(None, max_tokens=1, temperature=0, stop=())]

print(asyncio.run(said()))
"""


def test_another_file_is_another_generator(tmp_path: Path) -> None:
    """In a copy of the package with one file more."""
    source = Path(retrieval.__file__).parent
    shutil.copytree(source, tmp_path / "retrieval", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "retrieval" / "generation" / "kinds" / "toy.py").write_text(TOY)
    command = [sys.executable, "-c", TRY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "['ha', 'ha']", done.stderr


def test_settings_and_options_are_those_of_the_generators() -> None:
    described = GenerationSettings.model_json_schema()["properties"]
    assert described["kind"]["enum"] == list(KINDS) and next(iter(KINDS)) == "none"
    own = {name for kind in KINDS.values() for name in kind.own}
    assert own == {"base_url", "api_key_env", "concurrent"} and own <= set(described)
    with pytest.raises(ValidationError, match="'none', 'local', 'openai' or 'vllm'"):
        GenerationSettings.model_validate({"kind": "oracle"})
    for command, engines in (("ask", False), ("serve", True)):
        told = " ".join(CliRunner().invoke(app, [command, "--help"]).output.split())
        for kind in KINDS.values():
            assert (f"{kind.name}: {kind.line}." in told) == (engines or not kind.engine)


def test_what_a_configuration_says_of_one_generator_is_not_for_another() -> None:
    configured = GenerationSettings(kind="openai", model="m", base_url="http://x/v1", max_tokens=9)
    assert generation(None, None, None, None, configured) == configured
    assert generation("local", None, None, None, configured) == GenerationSettings(kind="local", max_tokens=9)
    named = generation("openai", "n", None, None, configured)
    assert (named.model, named.base_url) == ("n", "http://x/v1")
    with pytest.raises(ConfigError, match="--model is of a generator"):
        generation("none", "m", None, None, configured)
    with pytest.raises(ConfigError, match="kind: Input should be"):
        generation("oracle", None, None, None, configured)
