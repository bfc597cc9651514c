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
import ray

from retrieval.errors import ModelError
from retrieval.models.resolved_model import resolve_model
from retrieval.settings import ModelSettings
from tests.conftest import make_documents, write_jsonl
from tests.tools.build_tools import passages, vectors
from tests.tools.hostile.planted import imported, plant
from tests.tools.serving.listening_tools import listening, outside, private_folder, reachable

SCRIPT = (str(Path(sys.executable).parent / "corpusmill"),)
SAFE = (sys.executable, "-P", "-m", "jobs")
MODULE = (sys.executable, "-m", "jobs")  # Python itself looks for `jobs` in the folder first
BEHIND = ("jobs", "contextlib", "functools", "types", "warnings")  # what that would import from there


def command(way: tuple[str, ...], folder: Path, *words: str, **variables: str) -> Any:
    """Run a command in a folder; the JSON that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | variables
    done = subprocess.run(
        [*way, *words, "--json"], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


QUESTION = "Who built the lighthouse of Brell?"
SOME = ("search", "doctor")
ALL = (*SOME, "status", "verify", "ask", "evaluate")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("way", "names"),
    [
        pytest.param(SCRIPT, SOME, id="script"),
        pytest.param(SCRIPT, ALL[2:], id="script, the others", marks=pytest.mark.slow),
        pytest.param(SAFE, ALL, id="-P -m", marks=pytest.mark.slow),
        pytest.param(MODULE, ALL, id="-m", marks=pytest.mark.slow),
    ],
)
def test_commands_import_nothing_from_their_folder(
    way: tuple[str, ...], names: tuple[str, ...], served_index: Path, tmp_path: Path
) -> None:
    trapped = plant(tmp_path / "trapped", *(() if way is MODULE else BEHIND))
    (tmp_path / "empty").mkdir()
    index = str(served_index)
    words = {
        "search": [index, QUESTION, "-k", "3"], "ask": [index, QUESTION],
        "status": [index], "verify": [index],
        "evaluate": [index, "--beir", str(_dataset(tmp_path)), "--plot", str(tmp_path / "plot.png")],
        "doctor": [],
    }  # fmt: skip
    for name in names:
        found, expected = (
            _without_times(command(way, folder, name, *words[name]))
            for folder in (trapped, tmp_path / "empty")
        )
        assert found == expected, name
        assert imported(trapped) == "", name


def _dataset(folder: Path) -> Path:
    (folder / "qrels").mkdir()
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": QUESTION}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tf1\t1\n")
    return folder


def _without_times(answer: Any) -> Any:
    """What a command says, but how long it took and what was free."""
    if isinstance(answer, dict):
        times = {"timings_ms", "seconds", "queries_per_second", "latency_ms", "found", "created"}
        return {name: _without_times(value) for name, value in answer.items() if name not in times}
    return [_without_times(value) for value in answer] if isinstance(answer, list) else answer


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
            words, cwd=trapped, stdout=log, stderr=log,
            env={**environment, "HOME": str(home), "CORPUSMILL_CACHE": str(root / "cache")},
        )  # fmt: skip
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
    build(built.corpus, tmp_path / "elsewhere", model={"name": ModelSettings().name})
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


@pytest.mark.slow
def test_a_build_on_a_cluster_imports_nothing_from_its_folder(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    trapped = plant(tmp_path / "trapped", *BEHIND)
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_documents(6))
    address = ray.get_runtime_context().gcs_address
    words = ["build", "--corpus", str(corpus), "--index", str(tmp_path / "index")]
    built = command(SCRIPT, trapped, *words, RAY_ADDRESS=address, RAY_AUTH_MODE="token")
    assert imported(trapped) == ""
    assert built["documents"] == 6
    assert ray.get_runtime_context().gcs_address == address  # it goes on
    build(corpus, tmp_path / "elsewhere", model={"name": ModelSettings().name})
    assert passages(tmp_path / "index").equals(passages(tmp_path / "elsewhere"))


def test_a_model_is_a_folder_only_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = resolve_model("all-MiniLM-L6-v2")
    names = ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "mine", "models/mine"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{broken")
    monkeypatch.chdir(tmp_path)
    for name in names[:2]:
        assert resolve_model(name).fingerprint == packaged.fingerprint
    for name in names[2:]:
        with pytest.raises(ModelError) as raised:
            resolve_model(name)
        assert f"./{name}" in raised.value.hint
    (tmp_path / "here").symlink_to(packaged.folder)
    for name in ("./here", str(tmp_path / "here"), f"../{tmp_path.name}/here"):
        assert resolve_model(name).fingerprint == packaged.fingerprint
