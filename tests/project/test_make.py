"""What `make` would install, where and when: the demo takes what it needs, and nothing is installed twice."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that decide what is installed, with no environment yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def installs(checkout: Path, *words: str) -> list[str]:
    """The extras of each pip call that `make` with these words would make, in order."""
    done = subprocess.run(
        ["make", "-n", *words], cwd=checkout, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"-m pip install .*-e '\.\[([\w,-]+)\]'", done.stdout)


def installed(checkout: Path, *extras: str) -> None:
    """Leave the stamps that an installation leaves."""
    (checkout / ".venv").mkdir(exist_ok=True)
    for extra in extras:
        (checkout / ".venv" / f".installed-{extra}").touch()


def test_the_demo_installs_neither_test_tools_nor_a_language_model(checkout: Path) -> None:
    assert installs(checkout, "demo") == ["cpu"]
    assert installs(checkout, "install") == ["cpu,dev"]


@pytest.mark.parametrize("extras", ["cpu,dev", "cpu", "gpu,s3,dev"])
def test_the_demo_adds_nothing_to_an_environment_that_is_there(checkout: Path, extras: str) -> None:
    installed(checkout, *extras.split(","))
    assert installs(checkout, "demo") == []
    assert installs(checkout, "install", f"EXTRAS={extras}") == []


def test_what_is_missing_is_added(checkout: Path) -> None:
    installed(checkout, "cpu")
    assert installs(checkout, "install") == ["cpu,dev"]
    assert installs(checkout, "demo", "EXTRAS=cpu,plot") == ["cpu,plot"]


def test_changed_requirements_are_installed_once(checkout: Path) -> None:
    installed(checkout, "cpu", "dev")
    late = (checkout / ".venv" / ".installed-dev").stat().st_mtime + 10
    os.utime(checkout / "constraints.txt", (late, late))
    assert installs(checkout, "install") == ["cpu,dev"]
    assert installs(checkout, "demo") == ["cpu"]
