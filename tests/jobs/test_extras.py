"""A command whose packages are an extra that is not installed says the line that installs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None  # what an import then raises is what it raises without the package
from jobs.__main__ import main
main()
"""


def corpusmill_without(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command line where a module cannot be imported."""
    command = [sys.executable, "-c", WITHOUT, module, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("module", "words", "install"),
    [
        ("ir_measures", ["evaluate", ".", "--beir", "."], "pip install 'corpusmill[evaluate]'"),
        ("faiss", ["build", "--corpus", "docs", "--index", "x"], "pip install 'corpusmill[cpu]', or"),
        ("faiss", ["search", ".", "a question"], "pip install 'corpusmill[cpu]', or"),
        ("faiss", ["ask", ".", "a question"], "pip install 'corpusmill[cpu]', or"),
        ("faiss", ["serve", "."], "pip install 'corpusmill[cpu]', or"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    module: str, words: list[str], install: str
) -> None:
    done = corpusmill_without(module, *words)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: ")
    assert f"needs the package {module}, which is not installed" in done.stderr
    assert install in done.stderr
    assert "Traceback" not in done.stderr
    assert "not foreseen" not in done.stderr


def test_help_and_status_need_no_extra(tmp_path: Path) -> None:
    assert corpusmill_without("faiss", "--help").returncode == 0
    told = corpusmill_without("faiss", "status", tmp_path)
    assert "needs the package" not in told.stderr


def test_every_extra_that_is_named_exists_and_dev_holds_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert set(EXTRAS.values()) <= set(extras)
    dev = extras["dev"][0]
    assert {"evaluate", "local-llm", "plot", "s3", "train"} == set(dev[dev.index("[") + 1 : -1].split(","))
