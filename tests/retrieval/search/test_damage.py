"""Damaged indexes: truncated files are refused on opening, flipped bits by verification; nothing crashes."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.upkeep.verification import verify
from retrieval.errors import CorpusmillError, IndexDamaged
from retrieval.format.manifest import read_manifest, version_key
from retrieval.search.searcher import Searcher
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl

ROOT = Path(__file__).resolve().parents[3]
TRUNCATIONS = 100
FLIPS = 20
# One bit is flipped, the index is opened and searched, the bit is put back; a crash ends the process.
CHILD = """
import json, sys
from retrieval.errors import CorpusmillError
from retrieval.search import Searcher
root, places = sys.argv[1], json.loads(sys.stdin.read())
for key, position, bit in places:
    with open(f"{root}/{key}", "r+b") as file:
        file.seek(position)
        before = file.read(1)[0]
        file.seek(position)
        file.write(bytes([before ^ (1 << bit)]))
    try:
        with Searcher.open(root) as search:
            more = {"filter": "year >= 1510", "explain": True}
            search("violins near place 7", k=5, rerank="late-interaction", **more)
            search("bees", k=5, mode="lexical")
        told = "answered"
    except CorpusmillError as error:
        told = "refused"
    finally:
        with open(f"{root}/{key}", "r+b") as file:
            file.seek(position)
            file.write(bytes([before]))
    print(told, key, position, bit, flush=True)
"""


@pytest.fixture(scope="module")
def index(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(60))
    build(
        corpus, root / "index", dense={"type": "ivf_pq", "nlist": 4, "tune_queries": 20},
        index={"part_passages": 100, "shard_passages": 200}, chunk={"size": 96},
        late_interaction={"store": True, "train_tokens": 2000},
    )  # fmt: skip
    return root / "index"


def files(index: Path) -> list[tuple[str, int]]:
    """Keys and sizes of all files of the version, its manifest included."""
    manifest = read_manifest(Store(str(index)))
    found = [(file.key, file.bytes) for file in manifest.files() if file.bytes]
    key = version_key(manifest.version)
    return [*found, (key, (index / key).stat().st_size)]


def test_a_truncated_file_is_refused_on_opening(index: Path, tmp_path: Path) -> None:
    rng, there = random.Random(0), files(index)
    whole = tmp_path / "whole"
    for number in range(TRUNCATIONS):
        key, size = there[number % len(there)]
        path = index / key
        shutil.copyfile(path, whole)
        os.truncate(path, rng.randrange(size))
        try:
            with pytest.raises(IndexDamaged) as caught:
                Searcher.open(str(index))
            assert Path(key).name in str(caught.value)
        finally:
            shutil.copyfile(whole, path)
    with Searcher.open(str(index)) as search:
        assert len(search("violins")) == 10


def test_a_flipped_bit_is_refused_by_verification(index: Path) -> None:
    rng, store = random.Random(1), Store(str(index))
    for key, size in files(index):
        position, bit = rng.randrange(size), rng.randrange(8)
        flip(index / key, position, bit)
        try:
            assert damage(store), key
        finally:
            flip(index / key, position, bit)
    assert damage(store) == []


def test_a_flipped_bit_never_ends_the_process(index: Path) -> None:
    rng = random.Random(2)
    read = ("dense/", "quantizer/", "lexical/", "passages/", "tokens/", "vectors/", "versions/")
    there = [(key, size) for key, size in files(index) if key.startswith(read)]
    places = []
    for number in range(FLIPS):
        key, size = there[number % len(there)]
        # Headers steer more than what they describe.
        most = size if number % 2 else min(size, 256)
        places.append((key, rng.randrange(most), rng.randrange(8)))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(index)],
        input=json.dumps(places), capture_output=True, text=True, timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    told = done.stdout.splitlines()
    assert done.returncode == 0, f"{places[len(told)] if len(told) < FLIPS else ''}: {done.stderr[-2000:]}"
    assert sum(line.startswith("refused") for line in told) >= 2


def damage(store: Store) -> list[str]:
    """What `corpusmill verify` says."""
    try:
        return verify(store, read_manifest(store), lambda _done, _total: None)
    except CorpusmillError as error:
        return [error.message]


def flip(path: Path, position: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        value = file.read(1)[0]
        file.seek(position)
        file.write(bytes([value ^ (1 << bit)]))
