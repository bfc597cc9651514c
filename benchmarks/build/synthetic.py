"""An index of many passages without embedding them: what benchmarks of opening and searching need.

A passage is two sentences of Python's own documentation (`pydoc_data.topics`, part of every Python); its
vector is the sum of the sentences' embeddings and noise, normalised. So vectors lie as real ones do, words
have natural frequencies, and a sentence embedded as a query finds passages that hold it. Everything but
the embedding is done by the build itself: vectors are put where the build looks for finished parts.
"""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.config import BuildConfig, validate
from pipelines.index import build
from pipelines.parts import finished_slices
from pipelines.planning import make_plan, record_plan
from pipelines.runtime import (
    Progress,
    Usage,
    attempt_suffix,
    connected,
    holding_lease,
    start_tracker,
    write_marker,
)
from pipelines.stages import read_slices
from retrieval.format import write_vectors
from retrieval.models.encoders import Encoder
from retrieval.settings import ModelSettings
from retrieval.storage import FileRecord, Store

NOISE = 0.35  # length of the noise beside two embeddings of length 1
FILE_ROWS = 50_000


def sentences(most: int = 4000) -> list[str]:
    """Distinct sentences of 5 to 40 words."""
    from pydoc_data.topics import topics

    found = (" ".join(text.split()) for page in topics.values() for text in re.split(r"(?<=[.!?])\s+", page))
    fitting = [text for text in found if 5 <= len(text.split()) <= 40 and text[0].isalpha()]
    return list(dict.fromkeys(fitting))[:most]


def write_corpus(folder: Path, passages: int, known: list[str], seed: int = 0) -> np.ndarray:
    """Parquet files of documents `s<first>-<second>-<number>`; which sentences each has: int32 (n, 2)."""
    pairs = np.random.default_rng(seed).integers(0, len(known), (passages, 2), np.int32)
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, passages, FILE_ROWS):
        some = pairs[first : first + FILE_ROWS].tolist()
        table = pa.table(
            {
                "_id": [f"s{a}-{b}-{number}" for number, (a, b) in enumerate(some, start=first)],
                "title": [""] * len(some),
                "text": [f"{known[a]} {known[b]}" for a, b in some],
                "year": [1900 + number % 125 for number in range(len(some))],
            }
        )
        pq.write_table(table, folder / f"corpus-{first:09}.parquet", row_group_size=10_000)
    return pairs


def make_index(root: Path, passages: int, sections: dict[str, Any] | None = None) -> Path:
    """Build `root/index`, unless it is there, with `passages` passages; its path."""
    known = sentences()
    if not (root / "corpus").is_dir():
        write_corpus(root / "corpus", passages, known)
    values: dict[str, Any] = {
        "corpus": {"paths": str(root / "corpus")},
        "index": {"path": str(root / "index")},
        "chunk": {"method": "none"},
        "dense": {"type": "ivf_pq", "nlist": 2048, "train_vectors_per_list": 39, "tune_queries": 200},
    }
    for name, section in (sections or {}).items():
        values[name] = {**values.get(name, {}), **section}
    config = validate(values, "benchmark")
    if not (root / "index" / "LATEST").exists():
        seed_vectors(config, known)
    build(config, "the benchmark again", _Listener())
    return root / "index"


def seed_vectors(config: BuildConfig, known: list[str]) -> None:
    """Read the corpus as the build does, and write every part's vectors as its embedding stage would."""
    encoder = Encoder.open(ModelSettings(), sides={"passage"}, threads=None)
    embedded = encoder.encode_passages([""] * len(known), known)
    store = Store(config.index.path)
    progress = Progress(store, "the benchmark again", _Listener())
    with holding_lease(store, progress.say) as lease, connected(config.ray):
        progress.guard = lease.ensure
        plan = make_plan(config, store, progress.say)
        progress.begin(plan.fingerprint, start_tracker())
        plan = record_plan(plan)
        results = read_slices(
            plan.build.passages, plan.slices, {}, finished_slices(plan.build.passages), progress()
        )
        progress.end("interrupted")
    for part in (part for result in results for part in result.parts):
        _write_part(store, plan.build.vectors.folder, part, embedded, encoder)


def _write_part(
    store: Store, folder: str, part: dict[str, Any], embedded: np.ndarray, encoder: Encoder
) -> None:
    usage = Usage()
    record = FileRecord(**part["file"])
    ids = pq.read_table(store.path(record.key), columns=["doc_id"])["doc_id"].to_pylist()
    pairs = np.array([name[1:].split("-") for name in ids], np.int64)
    random = np.random.default_rng(int(pairs[0, 2]))
    noise = random.standard_normal((len(pairs), embedded.shape[1]), np.float32)
    noise *= NOISE / np.sqrt(embedded.shape[1])
    vectors = embedded[pairs[:, 0]] + embedded[pairs[:, 1]] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with store.writing(f"{folder}/{part['content']}-{attempt_suffix()}.npy") as write:
        write_vectors(write.path, vectors)
    values = {
        "file": asdict(write.done), "rows": len(pairs), "dimension": vectors.shape[1],
        "metric": encoder.metric, "dtype": encoder.dtype, "device": encoder.device, "tokens": 0,
        "truncated": 0, "usage": usage.values(),
    }  # fmt: skip
    write_marker(store, f"{folder}/{part['content']}", values)


class _Listener:
    """Messages, and each stage once, on standard error."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, event: dict[str, Any]) -> None:
        text = event.get("message", "")
        if not text and event["stage"] != self._stage:
            text = self._stage = event["stage"]
        if text:
            print(text, file=sys.stderr, flush=True)
