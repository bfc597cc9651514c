"""What the fault tests share: a corpus, models, and builds as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from retrieval.storage.store import Store
from tests.conftest import make_documents
from tests.tools.faults.faults_checks import assert_sound, contents
from tests.tools.samples.encoder_models import model_folder

ROOT = Path(__file__).resolve().parents[3]
BUILD_SECONDS = 600  # generous: the machine may be busy; nothing waits this long on an idle one
MARK = "CORPUSMILL_FAULTS_RUN"  # every process of a build, Ray's daemons included, inherits it


def make_model(folder: Path, seed: int = 0) -> Path:
    """A random model that embeds a part in some tenths of a second."""
    sizes = {"num_hidden_layers": 4, "intermediate_size": 512, "max_position_embeddings": 140}
    return model_folder(folder, seed=seed, config=sizes, max_seq_length=128)


def make_corpus(folder: Path) -> Path:
    """Four files: 1,200 documents, two ids that occur twice, and three lines that are no JSON."""
    folder.mkdir(parents=True)
    for number in range(4):
        documents = make_documents(300, first=300 * number)
        lines = [json.dumps(document) for document in documents]
        if number:
            lines[150] = '{"_id": "broken'
        if number in (2, 3):
            lines.append(json.dumps({**make_documents(1, first=5)[0], "title": f"Again {number}"}))
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def settings(
    corpus: Path | str, index: Path | str, model: Path, /, **sections: dict[str, Any]
) -> dict[str, Any]:
    """A configuration with some 20 slices and parts, three shards and six pieces."""
    values: dict[str, Any] = {
        "corpus": {"paths": [str(corpus)], "slice_bytes": 100_000, "duplicates": "keep_first"},
        "index": {"path": str(index), "part_passages": 600, "shard_passages": 2400, "piece_passages": 1200},
        "model": {"name": str(model)},
        "dense": {"type": "ivf_pq", "nlist": 16, "pq_m": 32, "tune_queries": 40},
        "ray": {"cpus": 2},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return values


def write_config(path: Path, values: dict[str, Any]) -> Path:
    """A configuration file; JSON is YAML."""
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return path


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = BUILD_SECONDS, step: float = 0.05
) -> Any:
    """The first true value of the condition; fails, saying what was waited for, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(step)
    return value


@dataclass
class Build:
    """A build as a process of its own, as a person starts it: `python -m jobs build CONFIG`.

    `extra` go in front of the configuration: the stage in which the driver kills itself. `prefix` goes
    in front of the whole command.
    """

    config: Path
    extra: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def __enter__(self) -> "Build":
        self.mark = uuid.uuid4().hex
        self.log = self.config.with_name(f"{self.config.stem}-{self.mark[:6]}.log")
        program = ["-m", "jobs", "build"]
        if self.extra:
            program = [str(Path(__file__).with_name("faults_driver.py")), *self.extra]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", MARK: self.mark, **self.env}
        self.results = self.log.with_suffix(".out")
        with open(self.log, "wb") as log, open(self.results, "wb") as out:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, *program, str(self.config)],
                stdout=out, stderr=log, env=env, cwd=self.config.parent,
            )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for process in [psutil.Process(self.process.pid)] if self.process.poll() is None else []:
            process.kill()
        self.process.wait()
        for process in self.processes():
            process.kill()

    def wait(self, seconds: float = BUILD_SECONDS) -> int:
        """Exit code, negative for a signal."""
        return self.process.wait(seconds)

    def finish(self) -> str:
        """Wait for success; what was printed."""
        code = self.wait()
        assert code == 0, f"exit code {code}:\n{self.output()}"
        return self.output()

    def output(self) -> str:
        """What was printed so far: results, then progress and errors."""
        return "".join(
            path.read_text(encoding="utf-8", errors="replace") for path in (self.results, self.log)
        )

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Living processes of this build whose title or command begins with `title`; see MARK."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) != self.mark or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if not title or " ".join(process.cmdline()).startswith(title):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the driver."""
        self.process.send_signal(number)


@dataclass(frozen=True)
class Place:
    """A corpus, two models, and the index that was built without a fault; nobody changes them."""

    root: Path
    corpus: Path
    model: Path
    other_model: Path
    index: Path
    contents: dict[str, Any]

    def config(
        self, folder: Path, index: Path | None = None, **sections: dict[str, Any]
    ) -> tuple[Path, Path]:
        """A configuration in a folder, and the index there that it builds from the same corpus."""
        index = index or folder / "index"
        values = settings(self.corpus, index, self.model, **sections)
        return write_config(folder / "build.yaml", values), index


_places: list[Place] = []


def shared_place(factory: pytest.TempPathFactory) -> Place:
    """The place that all fault tests of a session share, made at its first use."""
    if not _places:
        root = factory.mktemp("shared")
        corpus, model, other = make_corpus(root / "corpus"), make_model(root / "a"), make_model(root / "b", 1)
        index = root / "index"
        run(write_config(root / "index.yaml", settings(corpus, index, model)))
        assert_sound(Store(str(index)))
        _places.append(Place(root, corpus, model, other, index, contents(Store(str(index)))))
    return _places[0]


def run(config: Path, *extra: str, env: dict[str, str] | None = None) -> str:
    """Build to the end; what was printed."""
    with Build(config, extra, env or {}) as build:
        return build.finish()


def progress(index: Path) -> dict[str, Any]:
    """What `progress.json` says; empty before it exists."""
    return Store(str(index)).read_json("progress.json") or {} if index.exists() else {}
