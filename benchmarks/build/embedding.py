"""Embedding: passages/s and tokens/s of our encoder against SentenceTransformer.encode as a user calls it.

All contenders run in one process and take turns on the same chunks of the corpus, so that what else
the machine does weighs on all of them alike. Model loading is not counted, tokenizing is. Ours runs in the
precision that it chooses for this machine, and in float32.

    python benchmarks/build/embedding.py --corpus CORPUS.parquet --passages 20000 --json embedding.json
    python benchmarks/build/embedding.py --corpus CORPUS.parquet --passages 400 --chunk 100 --shape bge-m3
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from sentence_transformers import SentenceTransformer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.build.shapes import SHAPES, save_shape
from retrieval.models import resolve_model_side
from retrieval.models.encoders import Encoder
from retrieval.settings import ModelSettings

Vectors = npt.NDArray[np.float32]
Encode = Callable[[list[str], list[str]], Vectors]
FLOAT32, BFLOAT16, OURS, OURS_FLOAT32 = (
    "sentence-transformers float32",
    "sentence-transformers bfloat16",
    "corpusmill encoder",
    "corpusmill encoder float32",
)


@dataclass
class Row:
    """One contender: seconds of each chunk, and cosine to float32."""

    name: str
    seconds: list[float] = field(default_factory=list)
    cosine_min: float = 1.0
    cosine_sum: float = 0.0


def contenders(settings: ModelSettings, threads: int) -> tuple[dict[str, Encode], Encoder]:
    """Functions (titles, texts) -> vectors of each contender, models loaded."""
    folder = str(resolve_model_side(settings, "passage").folder)
    ours = Encoder.open(settings, sides={"passage"}, threads=threads)
    full = settings.model_copy(update={"dtype": "float32"})

    def library(dtype: torch.dtype) -> Encode:
        model = SentenceTransformer(folder, device=ours.device, model_kwargs={"dtype": dtype})
        return lambda titles, texts: model.encode_document(
            [f"{t} {x}" for t, x in zip(titles, texts, strict=True)]
        )

    return {
        FLOAT32: library(torch.float32),
        BFLOAT16: library(torch.bfloat16),
        OURS: ours.encode_passages,
        OURS_FLOAT32: Encoder.open(full, sides={"passage"}).encode_passages,
    }, ours


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1, in float32."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure(encoders: dict[str, Encode], titles: list[str], texts: list[str], chunk: int) -> dict[str, Row]:
    """Run every contender on each chunk in turn; the order rotates from chunk to chunk."""
    rows = {name: Row(name) for name in encoders}
    names = list(encoders)
    for encode in encoders.values():  # buffers, threads and caches are set up before the clock runs
        encode(titles[:64], texts[:64])
    for number, start in enumerate(range(0, len(texts), chunk)):
        part = slice(start, start + chunk)
        vectors: dict[str, Vectors] = {}
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            before = time.perf_counter()
            vectors[name] = encoders[name](titles[part], texts[part])
            rows[name].seconds.append(time.perf_counter() - before)
        truth = unit(vectors[FLOAT32])
        for name, found in vectors.items():
            cosine = (unit(found.astype(np.float32)) * truth).sum(axis=1)
            rows[name].cosine_min = min(rows[name].cosine_min, float(cosine.min()))
            rows[name].cosine_sum += float(cosine.sum())
        speeds = ", ".join(f"{name} {len(texts[part]) / rows[name].seconds[-1]:.0f}/s" for name in names)
        print(f"chunk {number + 1}: {speeds}", flush=True)
    return rows


def report(rows: dict[str, Row], passages: int, tokens: int) -> list[dict[str, float | str]]:
    """One entry a contender: rates over the whole run, and ratios as medians over chunks."""
    table: list[dict[str, float | str]] = []
    for name, row in rows.items():
        total = sum(row.seconds)
        entry: dict[str, float | str] = {
            "name": name,
            "passages_per_second": passages / total,
            "tokens_per_second": tokens / total,
            "cosine_min": row.cosine_min,
            "cosine_mean": row.cosine_sum / passages,
        }
        for peer, key in ((FLOAT32, "times_float32"), (BFLOAT16, "times_bfloat16")):
            pairs = zip(rows[peer].seconds, row.seconds, strict=True)
            entry[key] = statistics.median(theirs / ours for theirs, ours in pairs)
            entry[f"{key}_total"] = sum(rows[peer].seconds) / total
        table.append(entry)
    return table


def main() -> None:
    """Parse arguments, measure, print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="Parquet with columns title and text")
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--chunk", type=int, default=2_000, help="passages before the next contender's turn")
    parser.add_argument("--model", default=ModelSettings().name)
    parser.add_argument("--shape", choices=SHAPES, help="random weights in the shape of a model instead")
    parser.add_argument("--batch-tokens", type=int, help="token budget of our batches")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    data = pq.read_table(options.corpus, columns=["title", "text"]).slice(0, options.passages).to_pydict()
    titles: list[str] = [title or "" for title in data["title"]]
    texts: list[str] = data["text"]
    with tempfile.TemporaryDirectory() as folder:
        name = str(save_shape(options.shape, Path(folder))) if options.shape else options.model
        settings = ModelSettings(name=name, batch_tokens=options.batch_tokens)
        encoders, ours = contenders(settings, options.threads)
    tokens = len(ours.tokenize_passages(titles, texts).ids)
    rows = measure(encoders, titles, texts, options.chunk)
    table = report(rows, len(texts), tokens)
    print(f"\n{len(texts):,} passages, {tokens:,} tokens, {options.threads} threads on {ours.device}")
    for entry in table:
        rates = f"{entry['passages_per_second']:8.1f} passages/s {entry['tokens_per_second']:9.0f} tokens/s"
        ratios = f"x{entry['times_float32']:.2f} float32  x{entry['times_bfloat16']:.2f} bfloat16"
        cosine = f"cosine min {entry['cosine_min']:.5f} mean {entry['cosine_mean']:.5f}"
        print(f"{entry['name']:32} {rates}   {ratios}   {cosine}")
    if options.json:
        chunks = {name: asdict(row)["seconds"] for name, row in rows.items()}
        content = {"passages": len(texts), "tokens": tokens, "device": ours.device, "dtype": ours.dtype,
                   "threads": options.threads, "table": table, "seconds_by_chunk": chunks}  # fmt: skip
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
