"""Token vectors of late interaction, stored by part as codes: one codec for the index, trained once.

Codes are named by what the token encoder sees and by the codec, so that parts of the same text share them.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import ray

from pipelines.config import RaySettings, TokenCodeSpec
from pipelines.parts import Part
from pipelines.parts import read_part as read_part_file
from pipelines.runtime import (
    Progress,
    Step,
    Task,
    Usage,
    attempt_suffix,
    check_space,
    has_gpus,
    read_markers,
    result_of,
    run_stage,
    write_marker,
)
from pipelines.stages.embed import embed_actors
from retrieval.dense.making import sample_rows
from retrieval.format import Manifest
from retrieval.models.late_interaction import TokenEncoder, open_token_encoder, ragged_offsets
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord, Store
from retrieval.token_codes import TokenCodec, write_tokens

TOKENS_CODE = 2  # raised when the code changes what the codes of a part hold
FOLDER = "tokens"
CODECS = "tokens/codecs"
PARTS_A_TASK = 64
TOKENS_A_PASSAGE = 64  # of the training sample, so that it comes from many passages
PASSAGES_AT_ONCE = 256  # whose token vectors are held while they are encoded
STORED_BYTES = 56  # of a token, with some to spare


@dataclass(frozen=True)
class StoredTokens:
    """Token codes of all parts. `parts`: files by content; `markers`: values of the parts' markers."""

    codec: list[FileRecord]
    training: dict[str, Any]
    usage: dict[str, Any]
    parts: dict[str, list[FileRecord]]
    markers: list[dict[str, Any]]


def store_tokens(
    spec: TokenCodeSpec,
    parts: list[Part],
    previous: Manifest | None,
    progress: Progress,
    workers: RaySettings,
) -> StoredTokens | None:
    """Codes of all parts where the configuration asks for them; only parts without a marker are encoded."""
    if not spec.settings.store:
        return None
    store = spec.store
    codec = _codec(spec, parts, previous, progress, workers)
    folder = f"{FOLDER}/{fingerprint(TOKENS_CODE, spec.encoder_values, codec['training']['id'])}"
    wanted = {part.content: part for part in parts}
    markers = {name: value for name, value in read_markers(store, folder).items() if name in wanted}
    tasks = [
        Task(content, {"passages": asdict(part.passages), "rows": part.rows})
        for content, part in wanted.items()
        if content not in markers
    ]
    missing = sum(wanted[task.key].vectors.tokens for task in tasks)
    check_space(store, STORED_BYTES * missing, "the token codes")
    pool = embed_actors(workers, len(tasks))
    encode = Step(
        encoding, (spec, codec["files"], pool.threads),
        actors=pool.actors, cpus=pool.cpus, gpus=pool.gpus,
    )  # fmt: skip
    steps = [Step(read_part, (store,)), encode, Step(write_part, (store, folder))]
    total = sum(part.rows for part in wanted.values())
    before = sum(value["rows"] for value in markers.values())
    with progress.stage("tokens", "part", len(wanted), len(markers), rows_total=total, rows_before=before):
        for task in run_stage("tokens", tasks, steps, progress, workers):
            markers[task.key] = task.values
    return StoredTokens(
        codec=_records(codec),
        training=codec["training"],
        usage=codec["usage"],
        parts={content: _records(value) for content, value in markers.items()},
        markers=list(markers.values()),
    )


def read_part(task: Task, store: Store) -> Task:
    """Read the part's titles and texts."""
    table = read_part_file(store, task.values["passages"]["key"], ["title", "text"], task.values["rows"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    task.buffers = {"passages": sink.getvalue().to_pybytes()}
    return task


def encoding(spec: TokenCodeSpec, files: list[dict[str, Any]], threads: int | None) -> Callable[[Task], Task]:
    """Load the model and the codec, once in each actor; the function that makes a part's codes."""
    encoder = _open_encoder(spec, threads)
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
        records = [FileRecord(**file) for file in files]
        codec = TokenCodec.open(spec.store.local_folder(records, Path(folder)))

    def encode(task: Task) -> Task:
        began = time.monotonic()
        titles, texts = _columns(pa.ipc.open_stream(task.buffers["passages"]).read_all())
        codes, counts = [], []
        for first in range(0, len(texts), PASSAGES_AT_ONCE):
            span = slice(first, first + PASSAGES_AT_ONCE)
            found = encoder.encode_passages(titles[span], texts[span])
            codes.append(codec.encode(found.vectors, device=encoder.device))
            counts.append(np.diff(found.offsets))
        if encoder.device != "cpu":
            task.values["gpu_seconds"] = time.monotonic() - began
        joined = np.concatenate(codes)
        task.values |= {"tokens": len(joined), "dtype": encoder.dtype, "device": encoder.device}
        task.buffers = {"codes": joined.tobytes(), "counts": np.concatenate(counts).tobytes()}
        return task

    return encode


def write_part(task: Task, store: Store, folder: str) -> Task:
    """Write codes and offsets, and last the marker."""
    counts = np.frombuffer(task.buffers["counts"], np.int64)
    codes = np.frombuffer(task.buffers["codes"], np.uint8).reshape(task.values["tokens"], -1)
    with store.writing_folder(f"{folder}/{task.key}-{attempt_suffix()}") as out:
        write_tokens(out.path, codes, ragged_offsets(counts))
    names = ("rows", "tokens", "dtype", "device", "usage")
    values = {
        "files": [asdict(record) for record in out.records],
        **{name: task.values[name] for name in names},
    }
    return Task(task.key, write_marker(store, f"{folder}/{task.key}", values))


def _codec(
    spec: TokenCodeSpec,
    parts: list[Part],
    previous: Manifest | None,
    progress: Progress,
    workers: RaySettings,
) -> dict[str, Any]:
    """Marker of the codec: the previous version's, a finished one, or that of a new one."""
    settings = spec.settings
    markers = read_markers(spec.store, CODECS)
    rows = sum(part.rows for part in parts)
    values = [spec.encoder_values, settings.fingerprint_values("codec")]
    old = previous.late_interaction.get("codec") if previous else None
    if old and old["values"] == values and old["fingerprint"] in markers:
        # A codec that saw as many tokens as it may stays; one of a small index is outgrown.
        grown = rows / max(1, old["rows"]) > spec.retrain_growth
        if old["tokens"] >= settings.train_tokens or not grown:
            return markers[old["fingerprint"]]
    name = fingerprint(TOKENS_CODE, values, [part.content for part in parts])
    if name not in markers:
        training = {"fingerprint": name, "values": values, "rows": rows}
        with progress.stage("codec", "codec", 1, rows_total=rows):
            markers[name] = _train_remotely(spec, parts, training, workers)
            progress.finished(name, markers[name]["training"]["passages"], markers[name]["usage"])
    return markers[name]


def _train_remotely(
    spec: TokenCodeSpec, parts: list[Part], training: dict[str, Any], workers: RaySettings
) -> dict[str, Any]:
    settings = spec.settings
    passages = max(1, settings.train_tokens // TOKENS_A_PASSAGE)
    wanted = sample_rows([part.rows for part in parts], passages, settings.seed)
    read = ray.remote(num_cpus=1, max_retries=workers.task_retries)(_sample)
    samples = []
    for first in range(0, len(parts), PARTS_A_TASK):
        group = range(first, min(first + PARTS_A_TASK, len(parts)))
        chosen = [(parts[number].passages.key, wanted[number]) for number in group if len(wanted[number])]
        if chosen:
            samples.append(read.remote(spec.store, chosen))
    gpus = 1 if has_gpus(workers) else 0
    train = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=workers.task_retries)(_train)
    return result_of("codec", train.remote(spec, training, *samples))


def _sample(store: Store, chosen: list[tuple[str, np.ndarray]]) -> list[tuple[str, str]]:
    """Titles and texts of the chosen rows of some parts."""
    found: list[tuple[str, str]] = []
    for key, rows in chosen:
        titles, texts = _columns(read_part_file(store, key, ["title", "text"]))
        found += [(titles[row], texts[row]) for row in rows.tolist()]
    return found


def _train(spec: TokenCodeSpec, training: dict[str, Any], *samples: list[tuple[str, str]]) -> dict[str, Any]:
    """Encode the sample, take tokens of it at random, train and write the codec, and last its marker."""
    usage = Usage()
    began = time.monotonic()
    settings = spec.settings
    threads = len(os.sched_getaffinity(0))
    encoder = _open_encoder(spec, threads)
    pairs = [pair for sample in samples for pair in sample]
    blocks = []
    for first in range(0, len(pairs), PASSAGES_AT_ONCE):
        titles, texts = zip(*pairs[first : first + PASSAGES_AT_ONCE], strict=True)
        blocks.append(encoder.encode_passages(titles, texts).vectors)
    vectors = np.concatenate(blocks)
    if len(vectors) > settings.train_tokens:
        rng = np.random.default_rng(settings.seed)
        chosen = rng.choice(len(vectors), settings.train_tokens, replace=False)
        vectors = vectors[np.sort(chosen)]
    faiss.omp_set_num_threads(threads)
    codec = TokenCodec.train(
        vectors, nlist=settings.nlist, code_bytes=settings.code_bytes, seed=settings.seed
    )
    name = training["fingerprint"]
    with spec.store.writing_folder(f"{CODECS}/{name}-{attempt_suffix()}") as folder:
        codec.write(folder.path)
    seconds = time.monotonic() - began
    marker = {
        "files": [asdict(record) for record in folder.records],
        "training": {
            **training, **codec.describe(), "tokens": len(vectors), "passages": len(pairs),
            "seconds": round(seconds, 3),
        },
        "usage": usage.values(gpu_seconds=0.0 if encoder.device == "cpu" else seconds),
    }  # fmt: skip
    return write_marker(spec.store, f"{CODECS}/{name}", marker)


def _open_encoder(spec: TokenCodeSpec, threads: int | None) -> TokenEncoder:
    """The token encoder of the build. Raises ModelError where this machine has another model by its name."""
    threads = threads or len(os.sched_getaffinity(0))
    model = spec.model.here()
    settings = spec.settings.model_copy(update={"model": model})
    return open_token_encoder(settings, model, threads=threads, trust=spec.model.trust)


def _columns(table: pa.Table) -> tuple[list[str], list[str]]:
    return table.column("title").to_pylist(), table.column("text").to_pylist()


def _records(marker: dict[str, Any]) -> list[FileRecord]:
    return [FileRecord(**file) for file in [*marker["files"], marker["marker"]]]
