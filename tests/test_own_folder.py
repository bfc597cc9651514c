"""The folder that a command is run from changes nothing: modules, settings and models that lie there."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from retrieval.errors import ModelError
from retrieval.models import resolve
from tests.build_tools import passages, vectors
from tests.conftest import make_documents, write_jsonl
from tests.listening_tools import listening, outside, private_folder, reachable
from tests.planted import imported, plant

SCRIPT = (str(Path(sys.executable).parent / "corpusmill"),)
SAFE = (sys.executable, "-P", "-m", "jobs")
MODULE = (sys.executable, "-m", "jobs")  # Python itself looks for `jobs` in the folder first
BEHIND = ("jobs", "contextlib", "functools", "types", "warnings")  # what that would import from there


def command(way: tuple[str, ...], folder: Path, *words: str) -> Any:
    """Run a command in a folder; the JSON that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [*way, *words, "--json"], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected(served_index: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the commands print in an empty folder."""
    return {
        words[0]: command(SCRIPT, tmp_path_factory.mktemp("empty"), *words) for words in asked(served_index)
    }


def asked(index: Path) -> list[list[str]]:
    """Commands that start no Ray."""
    question = "Who built the lighthouse of Brell?"
    return [
        ["search", str(index), question, "-k", "3"],
        ["status", str(index)],
        ["verify", str(index)],
        ["ask", str(index), question],
        ["doctor"],
    ]


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(SCRIPT, id="script"),
        pytest.param(SAFE, id="-P -m", marks=pytest.mark.slow),
        pytest.param(MODULE, id="-m", marks=pytest.mark.slow),
    ],
)
def test_commands_import_nothing_from_their_folder(
    way: tuple[str, ...], served_index: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    trapped = plant(tmp_path / "trapped", *(() if way is MODULE else BEHIND))
    for words in asked(served_index):
        found = command(way, trapped, *words)
        assert _without_times(found) == _without_times(expected[words[0]]), words[0]
        assert imported(trapped) == "", words[0]


def _without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("timings_ms", "checks")} | {
        "checks": [(check["name"], check["ok"]) for check in answer.get("checks", [])]
    }


@dataclass(frozen=True)
class Built:
    """A build in a trapped folder, and what was seen of it while it ran."""

    trapped: Path
    corpus: Path
    index: Path
    home: Path
    code: int | None
    output: str
    sockets: set[tuple[str, str, int]]
    reached: list[str]
    folders: set[Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Of the whole command, in a process of its own."""
    root = tmp_path_factory.mktemp("build")
    trapped, home = plant(root / "trapped", *BEHIND), root / "home"
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(12))
    words = [*SCRIPT, "build", "--corpus", str(corpus), "--index", str(root / "index")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    sockets: set[tuple[str, str, int]] = set()
    reached: set[str] = set()
    folders: set[Path] = set()
    with (root / "log").open("wb") as log:
        build = subprocess.Popen(
            words, cwd=trapped, env={**environment, "HOME": str(home)}, stdout=log, stderr=log
        )
        try:
            while build.poll() is None:
                sockets |= listening(build.pid)
                with contextlib.suppress(
                    ValueError, OSError, psutil.Error
                ):  # Ray is not there, or not any more
                    folder = private_folder(build.pid)
                    folders.add(folder)
                    reached |= set(reachable(folder))
                time.sleep(0.3)
        finally:
            build.kill()
    output = (root / "log").read_text()
    return Built(
        trapped, corpus, root / "index", home, build.returncode, output, sockets, sorted(reached), folders
    )


def test_a_build_imports_nothing_from_its_folder(
    built: Built, build: Callable[..., Any], tmp_path: Path
) -> None:
    assert built.code == 0, built.output
    assert imported(built.trapped) == ""
    build(built.corpus, tmp_path / "elsewhere")
    assert passages(built.index).equals(passages(tmp_path / "elsewhere"))
    np.testing.assert_array_equal(vectors(built.index), vectors(tmp_path / "elsewhere"))


def test_a_build_listens_on_loopback_and_leaves_nothing(built: Built) -> None:
    assert built.code == 0, built.output
    assert len(built.sockets) > 5, built.sockets
    assert outside(built.sockets) == []
    assert len(built.folders) == 1
    assert built.reached == []
    assert not any(folder.exists() for folder in built.folders)
    assert not built.home.exists(), "a token lies there"


def test_a_model_is_a_folder_only_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = resolve("all-MiniLM-L6-v2")
    names = ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "mine", "models/mine"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{broken")
    monkeypatch.chdir(tmp_path)
    for name in names[:2]:
        assert resolve(name).fingerprint == packaged.fingerprint
    for name in names[2:]:
        with pytest.raises(ModelError) as raised:
            resolve(name)
        assert f"./{name}" in raised.value.hint
    (tmp_path / "here").symlink_to(packaged.folder)
    for name in ("./here", str(tmp_path / "here"), f"../{tmp_path.name}/here"):
        assert resolve(name).fingerprint == packaged.fingerprint
