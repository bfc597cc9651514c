"""Any bytes in the files of an index end in an error of ours, or in an answer: soon, and in bounded memory.

Each file is changed in many ways, with and without the checksums that cover it made right, and read by a
process of its own, since FAISS, tantivy and Arrow may end theirs.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.conftest import make_documents, write_jsonl
from tests.tools.hostile.hostile_tools import ROOT, HostileIndex, Worker, attack, mutations
from tests.tools.samples.dense_data import build as build_dense
from tests.tools.samples.dense_data import clustered, ivf
from tests.tools.samples.lexical_tools import make_corpus, make_passages, make_queries

# Some of the examples in the default suite; many where there is time.
FAULTS = (pytest.mark.faults, pytest.mark.timeout(1500))
ROWS = 300  # of the shards that are made without a build
KINDS = {
    "ivf_pq": ivf(pq_m=8), "ivf_pq8": ivf(pq_m=8, pq_bits=8, coarse="hnsw"), "opq": ivf(pq_m=8, opq=True),
    "ivf_flat": ivf("ivf_flat"), "hnsw": ivf("hnsw", hnsw_m=8), "flat": ivf("flat"),
}  # fmt: skip


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> HostileIndex:
    root = tmp_path_factory.mktemp("hostile")
    documents = [
        {**document, "tags": [f"t{number % 3}", "all"], "day": f"2020-01-{number % 28 + 1:02d}"}
        for number, document in enumerate(make_documents(40))
    ]
    build(
        write_jsonl(root / "corpus.jsonl", documents), root / "index",
        dense={"type": "ivf_pq", "nlist": 4, "tune_queries": 20}, chunk={"size": 96},
        index={"part_passages": 100, "shard_passages": 200},
        late_interaction={"store": True, "train_tokens": 2000},
    )  # fmt: skip
    return HostileIndex(root / "index")


def files(index: HostileIndex, *folders: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """A file below these folders, and what it is changed to; one of each kind is enough."""
    chosen: dict[str, str] = {}
    for key, data in index.whole.items():
        name = key.rpartition("/")[2]
        kind = name if name[0] not in "0123456789abcdef" else f"{key.partition('/')[0]}{Path(name).suffix}"
        if data and any(key.startswith(folder) for folder in folders):
            chosen.setdefault(kind, key)
    return st.sampled_from(sorted(chosen.values())).flatmap(
        lambda key: st.tuples(st.just(key), mutations(key, index.whole[key]))
    )


def try_all(
    index: HostileIndex, worker: Worker, examples: int, drawn: st.SearchStrategy[tuple[str, bytes]],
    *readers: str, arguments: tuple[Any, ...] = (),
) -> set[str]:  # fmt: skip
    """What came of reading each change, signed and not."""
    told = set()

    def check(change: tuple[str, bytes]) -> None:
        key, data = change
        for sign in (True, False):
            index.put(key, data, sign=sign)
            try:
                for reader in readers:
                    what = f"{reader} with {key} as {data[:500]!r} ({len(data)} bytes), signed: {sign}"
                    told.add(worker.check(what, reader, str(index.root), *arguments))
            finally:
                index.restore()

    attack(examples, drawn, check)
    return told


@pytest.mark.parametrize("examples", [30, pytest.param(3000, marks=FAULTS)])
def test_any_manifest_and_latest(index: HostileIndex, worker: Worker, examples: int) -> None:
    assert worker.ask("search", str(index.root))["told"] == "answered"  # which loads the models
    drawn = files(index, "versions/", "LATEST")
    assert "refused" in try_all(index, worker, examples, drawn, "search")


@pytest.mark.parametrize("examples", [18, pytest.param(2000, marks=FAULTS)])
def test_any_bytes_in_what_a_search_reads(index: HostileIndex, worker: Worker, examples: int) -> None:
    assert worker.ask("search", str(index.root))["told"] == "answered"
    drawn = files(
        index, "dense/", "quantizer/", "lexical/", "passages/", "tokens/", "vectors/", "background/"
    )  # fmt: skip
    assert try_all(index, worker, examples, drawn, "search") == {"answered", "refused"}


@pytest.mark.parametrize("examples", [40, pytest.param(1500, marks=FAULTS)])
def test_any_bytes_in_what_a_builder_reads(index: HostileIndex, worker: Worker, examples: int) -> None:
    folders = ("ledger/", "lease/", "progress.json", "parts/", "vectors/", "tokens/", "dense/", "LATEST")
    whole = [worker.check("whole", reader, str(index.root)) for reader in ("state", "parts", "verify")]
    assert whole == ["answered"] * 3
    drawn = files(index, *folders, "lexical/", "passages/", "quantizer/", "corpusmill.json")
    try_all(index, worker, examples, drawn, "state", "parts")


@pytest.mark.parametrize("examples", [20, pytest.param(1000, marks=FAULTS)])
def test_verification_of_any_bytes(index: HostileIndex, worker: Worker, examples: int) -> None:
    drawn = files(index, "parts/", "vectors/", "tokens/", "dense/", "lexical/", "passages/")
    try_all(index, worker, examples, drawn, "verify")


@pytest.mark.parametrize("examples", [20, pytest.param(800, marks=FAULTS)])
@pytest.mark.parametrize("kind", list(KINDS))
def test_any_bytes_in_a_dense_index(kind: str, worker: Worker, tmp_path: Path, examples: int) -> None:
    built = build_dense(tmp_path, KINDS[kind], clustered(ROWS * 2 if kind == "ivf_pq8" else ROWS, 0), [])
    rows = [len(part) for part in built.vectors._parts]
    arguments = (built.quantizer.spec.model_dump(mode="json"), rows)
    index = HostileIndex(tmp_path)
    assert worker.check("whole", "dense", str(tmp_path), *arguments) == "answered"
    drawn = files(index, "quantizer/", "shard/", "vectors/")
    try_all(index, worker, examples, drawn, "dense", arguments=arguments)


@pytest.mark.parametrize("examples", [30, pytest.param(2000, marks=FAULTS)])
def test_any_bytes_in_a_lexical_index(worker: Worker, tmp_path: Path, examples: int) -> None:
    make_corpus(tmp_path, make_passages(ROWS))
    arguments = (ROWS, make_queries(4))
    assert worker.check("whole", "lexical", str(tmp_path), *arguments) == "answered"
    drawn = files(HostileIndex(tmp_path), "")
    try_all(HostileIndex(tmp_path), worker, examples, drawn, "lexical", arguments=arguments)


@pytest.mark.parametrize(
    ("command", "name", "data"),
    [
        ("search", "LATEST", "²".encode()),
        ("status", "LATEST", b"9" * 5000),
        ("verify", "versions/", b"[" * 100_000),
        ("search", "versions/", b'{"format": 2, "format": 2}'),
        ("status", "versions/", b"\xff" * 300),
        ("status", "progress.json", b'{"tasks": {"done": "1"}, "stage\\u0000\\n": 1}'),
    ],
)
def test_the_command_line_tells_it_in_a_line(
    index: HostileIndex, command: str, name: str, data: bytes
) -> None:
    key = index.manifest if name == "versions/" else name
    index.put(key, data, sign=False)
    try:
        words = [sys.executable, "-m", "jobs", command, str(index.root)]
        words += ["bees"] if command == "search" else []
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120)
    finally:
        index.restore()
    told = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert len(told) <= 3  # the error, its hint, and perhaps where that was broken
    assert key in done.stderr.replace("\n", "")
    assert all(line.isprintable() and len(line) < 600 for line in told)
