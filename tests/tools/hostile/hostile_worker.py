"""Reads indexes that may be anything: `python -m tests.tools.hostile.hostile_worker`, a process of its own.

A line of JSON on standard input names a reader and its arguments; a line on standard output says what came of
it, what it took and how much memory.
"""

import json
import math
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jobs.commands.index_status import status, status_lines
from pipelines.parts.id_hashes import read_ids
from pipelines.parts.part_reader import read_part
from pipelines.planning import ledger
from pipelines.runtime import lease
from pipelines.runtime.markers import read_markers
from pipelines.runtime.progress import read_progress
from pipelines.upkeep.verification import verify as verify_version
from retrieval.dense.dense_shard import DenseShard
from retrieval.dense.quantizer import Quantizer
from retrieval.errors import CorpusmillError, IndexDamaged
from retrieval.format.dense_spec import FaissSpec, SearchParameters
from retrieval.format.manifest import Manifest, read_manifest
from retrieval.format.vectors import ShardVectors
from retrieval.lexical.lexical_shard import LexicalShard
from retrieval.lexical.query import make_query
from retrieval.lexical.statistics import Statistics
from retrieval.search.search_models import Models
from retrieval.search.searcher import Searcher
from retrieval.storage.copies import default_cache
from retrieval.storage.store import Store
from tests.tools.samples.lexical_tools import ANALYZER, BM25

MARKER = re.compile(
    r"((?:parts|vectors|tokens|passages|dense|lexical|quantizer)[^.]*)/[0-9a-f]{16}[0-9a-f-]*\.json"
)
models: dict[str, Models] = {}


def models_of(store: Store, manifest: Manifest) -> Models:
    """Models of a version; those of the first one stay loaded."""
    name = json.dumps([manifest.model, manifest.late_interaction, manifest.dense["dimension"]])
    found = models.get(name) or Models(store, manifest, default_cache(store), None)
    if not models:
        models[name] = found
    return found


def search(root: str) -> None:
    """Open an index and ask it what it can be asked."""
    store = Store(root)
    manifest = read_manifest(store)
    with Searcher(store, manifest, default_cache(store), models=models_of(store, manifest)) as searcher:
        hits = searcher("violins near place 7", k=5, mode="lexical").hits
        hits += searcher("bees", k=5, rerank="none", filter='year >= 1510 and document.title != "x"').hits
        if manifest.token_codec:
            hits += searcher("comets", k=5, rerank="late-interaction", explain=True).hits
        assert all(math.isfinite(hit.score) for hit in hits)
        json.dumps([hit.metadata for hit in hits], default=str, allow_nan=False)
        searcher.rank(["rivers"], 5, mode="dense", exact=True)
        searcher.find("d00001#0")


def verify(root: str) -> None:
    """`corpusmill verify`."""
    store = Store(root)
    problems = verify_version(store, read_manifest(store), lambda _done, _total: None)
    if problems:
        raise IndexDamaged("\n".join(problems))


def state(root: str) -> None:
    """What a builder and `corpusmill status` read."""
    store = Store(root)
    ledger.read_ledger(store)
    lease.holder_lives(store, 0.01)
    read_progress(store)
    for folder in {found[1] for key in store.find("") if (found := MARKER.fullmatch(key))}:
        read_markers(store, folder)
    status_lines(status(store))


def parts(root: str) -> None:
    """What a later build reads of a version: parts and hashes of ids."""
    store = Store(root)
    manifest = read_manifest(store)
    for part in manifest.parts:
        read_part(store, part.passages.key, rows=part.rows)
    for entry in manifest.slices:
        for file in entry.files:
            if file.key.endswith(".ids.npy"):
                read_ids(store, file, 0, 256)


def dense(root: str, spec: dict[str, Any], rows: list[int]) -> None:
    """A dense shard: `quantizer`, `shard` and `vectors` below a folder."""
    checked, folder = FaissSpec.model_validate(spec), Path(root)
    quantizer = Quantizer.open(folder / "quantizer", checked)
    paths = [folder / "vectors" / f"{number}.npy" for number in range(len(rows))]
    vectors = ShardVectors(paths, rows, checked.dimension)
    shard = DenseShard.open(folder / "shard", quantizer, vectors)
    queries = np.random.default_rng(0).normal(size=(3, checked.dimension)).astype(np.float32)
    wide = SearchParameters(nprobe=checked.nlist or 1, shortlist=200, ef_search=200)
    for parameters in (checked.search, wide):
        scores, found = shard.search(queries, 10, parameters=parameters)
        assert np.isfinite(scores[found >= 0]).all()
    shard.search(queries, 5, selection=np.arange(0, len(vectors), 3))


def lexical(root: str, rows: int, queries: list[str]) -> None:
    """A lexical shard and the statistics."""
    statistics = Statistics.open(Path(root, "statistics"))
    shard = LexicalShard.open(Path(root, "shard-0"), rows)
    asked = [make_query(text, ANALYZER, statistics) for text in queries]
    bm25 = BM25(1.2, 0.75, statistics.average_length)
    for most in (0, 10**9):  # by tantivy, and by the postings alone
        scores, found = shard.search(asked, 10, bm25, scan_postings=most)
        assert not np.isnan(scores).any()
        assert found.max() < rows
    shard.search(asked, 10, bm25, selection=np.arange(0, rows, 2))
    shard.matches(asked[0], np.arange(rows), bm25)
    shard.close()


READERS: dict[str, Callable[..., None]] = {
    "search": search, "verify": verify, "state": state, "parts": parts, "dense": dense, "lexical": lexical,
}  # fmt: skip


def memory(name: str) -> float:
    """Megabytes of this process: VmRSS, now, or VmHWM, the most since it was forgotten."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Read until standard input ends."""
    for line in sys.stdin:
        reader, *arguments = json.loads(line)
        Path("/proc/self/clear_refs").write_text("5")
        before, began, why = memory("VmRSS"), time.process_time(), ""
        try:
            READERS[reader](*arguments)
            told = "answered"
        except CorpusmillError as error:
            told, why = "refused", str(error)
        except BaseException:
            told, why = "foreign", traceback.format_exc()
        seconds = time.process_time() - began
        found = {"told": told, "why": why[-3000:], "seconds": seconds, "megabytes": memory("VmHWM") - before}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
