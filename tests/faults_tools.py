"""What the fault tests share: a corpus, builds as processes of their own, and what an index holds."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from pipelines.verify import verify
from retrieval.manifest import Manifest, read_manifest
from retrieval.searcher import Searcher
from retrieval.storage import Store
from tests.conftest import make_documents
from tests.encoder_models import model_folder

ROOT = Path(__file__).resolve().parent.parent
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


def settings(corpus: Path | str, index: Path | str, model: Path, /, **sections: dict[str, Any]) -> dict[str, Any]:
    """A configuration with some 20 slices and parts, three shards and six pieces."""
    values: dict[str, Any] = {
        "corpus": {"paths": [str(corpus)], "slice_bytes": 100_000, "duplicates": "keep_first"},
        "index": {"path": str(index), "part_passages": 600, "shard_passages": 2400, "piece_passages": 1200},
        "model": {"name": str(model)},
        "dense": {"type": "ivf_pq", "nlist": 16, "pq_m": 16, "tune_queries": 40},
        "ray": {"cpus": 2},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return values


def write_config(path: Path, values: dict[str, Any]) -> Path:
    """A configuration file; JSON is YAML."""
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return path


def wait_until(condition: Callable[[], Any], what: str, seconds: float = BUILD_SECONDS, step: float = 0.05) -> Any:
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
        program = [str(ROOT / "tests" / "faults_driver.py"), *self.extra] if self.extra else ["-m", "jobs", "build"]
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
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in (self.results, self.log))

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


def run(config: Path, *extra: str, env: dict[str, str] | None = None) -> str:
    """Build to the end; what was printed."""
    with Build(config, extra, env or {}) as build:
        return build.finish()


def progress(index: Path) -> dict[str, Any]:
    """What `progress.json` says; empty before it exists."""
    return Store(str(index)).read_json("progress.json") or {} if index.exists() else {}


def files_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, modification time and size of every file below a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            stat = path.stat()
            found[str(path.relative_to(folder))] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def finished(index: Path) -> dict[str, tuple[int, int, int]]:
    """The same of what is finished: markers and the files that they list, versions and the ledger."""
    files = files_of(index)
    kept = {}
    for key in files:
        if key.startswith(("versions/", "ledger/", "models/")):
            kept[key] = files[key]
        elif key.endswith(".json") and key.startswith(("parts/", "vectors/", "passages/", "quantizer/", "dense/")):
            names = {key, *_listed(json.loads((index / key).read_bytes()))}
            kept |= {name: files[name] for name in names if name in files}
    return kept


def _listed(value: Any) -> Iterator[str]:
    """Keys of all file records in a marker."""
    if isinstance(value, dict):
        if "sha256" in value:
            yield value["key"]
        for inner in value.values():
            yield from _listed(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _listed(inner)


def markers(index: Path, stage: str) -> list[str]:
    """Keys of the markers of a stage, which name its finished parts."""
    folder = {"read": "parts", "embed": "vectors"}.get(stage, stage)
    return [key for key in files_of(index) if key.startswith(f"{folder}/") and key.endswith(".json")]


def assert_untouched(before: dict[str, Any], index: Path, *, except_for: tuple[str, ...] = ()) -> None:
    """Every file of `before` is there and is the same file."""
    now = files_of(index)
    changed = [key for key in before if now.get(key) != before[key] and not any(part in key for part in except_for)]
    assert not changed, f"changed or gone: {changed}"


def contents(store: Store, manifest: Manifest | None = None) -> dict[str, Any]:
    """What an index holds, in the order of passage ids: counts, a hash of all rows, a hash of the vectors."""
    manifest = manifest or read_manifest(store)
    digest = hashlib.sha256()
    keys: list[str] = []
    for part in manifest.parts:
        with store.fs.open(store.path(part.passages.key), "rb") as file:
            table = pq.read_table(file, columns=["doc_id", "passage", "title", "text", "start", "end", "position"])
        rows = table.to_pylist()
        assert len(rows) == part.rows
        keys += [f"{row['doc_id']}#{row['passage']}" for row in rows]
        digest.update(json.dumps(rows).encode())
    assert len(keys) == manifest.passages
    assert len(set(keys)) == len(keys), "a passage occurs twice"
    return {
        "documents": manifest.documents,
        "rejected": manifest.rejected,
        "keys": keys,
        "rows": digest.hexdigest(),
        "vectors": [part.vectors.sha256 for part in manifest.parts],
        "bases": [(shard.base, shard.rows) for shard in manifest.shards],
    }


def assert_sound(store: Store, cache: Path | None = None) -> Manifest:
    """The latest version verifies, and the vector of a passage finds that passage at its id."""
    manifest = read_manifest(store)
    assert verify(store, manifest, lambda _done, _total: None) == []
    with Searcher(store, manifest, cache or Path(store.root)) as searcher:
        wanted = np.linspace(0, manifest.passages - 1, 40).astype(np.int64)
        vectors = np.concatenate([shard[2]._vectors.take(own) for shard, own in _by_shard(searcher, wanted)])
        scores, ids = searcher.search_vectors(vectors.astype(np.float32), 3)
    assert np.isfinite(scores).all()
    found = float(np.mean((ids == wanted[:, None]).any(axis=1)))
    assert found >= 0.95, f"only {found:.0%} of the passages find themselves"
    return manifest


def _by_shard(searcher: Searcher, wanted: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
    for shard in searcher._shards:
        base, rows = shard[0].base, shard[0].rows
        yield shard, wanted[(wanted >= base) & (wanted < base + rows)] - base
