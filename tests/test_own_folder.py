"""The folder that a command is run from changes nothing: modules, settings and models that lie there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.errors import ModelError
from retrieval.models import resolve
from tests.build_tools import passages, vectors
from tests.conftest import make_documents, write_jsonl
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


@pytest.mark.parametrize("way", [SCRIPT, SAFE, MODULE], ids=["script", "-P -m", "-m"])
def test_commands_import_nothing_from_their_folder(
    way: tuple[str, ...], served_index: Path, tmp_path: Path
) -> None:
    trapped = plant(tmp_path / "trapped", *(() if way is MODULE else BEHIND))
    (tmp_path / "empty").mkdir()
    index = str(served_index)
    for words in (
        ["search", index, "Who built the lighthouse of Brell?", "-k", "3"],
        ["status", index],
        ["verify", index],
        ["doctor"],
    ):
        found, expected = (command(way, folder, *words) for folder in (trapped, tmp_path / "empty"))
        for answer in (found, expected):
            answer.pop("timings_ms", None)
        assert found == expected, words[0]
        assert imported(trapped) == "", words[0]


def test_a_build_imports_nothing_from_its_folder(build: Callable[..., Any], tmp_path: Path) -> None:
    trapped = plant(tmp_path / "trapped", *BEHIND)
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_documents(12))
    built = command(SCRIPT, trapped, "build", "--corpus", str(corpus), "--index", str(tmp_path / "index"))
    assert imported(trapped) == ""
    assert built["documents"] == 12
    build(corpus, tmp_path / "elsewhere")
    assert passages(tmp_path / "index").equals(passages(tmp_path / "elsewhere"))
    np.testing.assert_array_equal(vectors(tmp_path / "index"), vectors(tmp_path / "elsewhere"))


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
