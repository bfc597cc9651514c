"""Hybrid search against LanceDB embedded and against bm25s + faiss, on the same vectors and text, in one run.

    pip install lancedb bm25s PyStemmer
    python benchmarks/search/search_peers.py --index INDEX --queries QUERIES.jsonl

Vectors and passages are those of INDEX; queries are embedded once, beforehand, so no encoder is timed. Each
system finds 100 passages by vector and 100 by BM25 and fuses them by reciprocal rank to a top 10. Peers are
tuned to the recall@10 of our dense half against exact search: the fastest setting of theirs that reaches it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from search_systems import Bm25sFaiss, Corpus, K, Lance, Ours, System

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval.search import Searcher
from retrieval.storage import Store

BLOCK = 25  # queries that a system answers before the next one's turn
ROUNDS = 3  # of all queries in one batch; the best counts


def overlap(found: np.ndarray, reference: np.ndarray) -> float:
    """Mean share of the reference's ids (q, 10) that were found (q, 10)."""
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, reference, strict=True)]))


def tuned(
    system: System, vectors: np.ndarray, exact: np.ndarray, target: float
) -> tuple[dict[str, int], float]:
    """The fastest settings whose recall@10 reaches the target, and that recall; the best where none does."""
    reached, best = [], ({}, -1.0)
    for settings in system.grid():
        times = []
        for _ in range(2):
            start = time.perf_counter()
            found = system.dense(vectors, settings)
            times.append(time.perf_counter() - start)
        recall, seconds = overlap(found, exact), min(times)
        best = max(best, (settings, recall), key=lambda point: point[1])
        if recall >= target:
            reached.append((seconds, settings, recall))
    if not reached:
        return best
    _, settings, recall = min(reached, key=lambda point: point[0])
    return settings, recall


@dataclass
class Timed:
    """A tuned system and what was measured of it: `found` the top 10 by query, times in milliseconds."""

    system: System
    settings: dict[str, int]
    found: list[np.ndarray] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)

    def single(self, texts: list[str], vectors: np.ndarray) -> None:
        """One query at a time; those of a first block warm up and are not counted."""
        times = []
        for number in range(len(texts)):
            one = slice(number, number + 1)
            start = time.perf_counter()
            self.found.append(self.system.hybrid(texts[one], vectors[one], self.settings)[0])
            times.append(1000 * (time.perf_counter() - start))
        self.singles += times if len(self.found) > BLOCK else []

    def batch(self, texts: list[str], vectors: np.ndarray) -> None:
        """All queries at once."""
        start = time.perf_counter()
        self.system.hybrid(texts, vectors, self.settings)
        self.batches.append(1000 * (time.perf_counter() - start))

    def values(self) -> dict[str, float]:
        """Figures of all rounds."""
        return {
            "median_ms": float(np.median(self.singles)),
            "p95_ms": float(np.percentile(self.singles, 95)),
            "queries_per_second": 1000 * len(self.found) / min(self.batches),
        }


def measure(systems: list[Timed], texts: list[str], vectors: np.ndarray) -> None:
    """Take turns, block by block, so that other work on the machine weighs on all of them alike."""
    for first in range(0, len(texts), BLOCK):
        for timed in systems:
            timed.single(texts[first : first + BLOCK], vectors[first : first + BLOCK])
    for _ in range(ROUNDS):
        for timed in systems:
            timed.batch(texts, vectors)


def main() -> None:
    """Build the peers, tune them, measure all, print a table and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--index", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="JSONL with text or question")
    parser.add_argument("--most", type=int, default=500, help="queries")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    faiss.omp_set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    os.environ["LANCE_CPU_THREADS"] = str(args.threads)
    lines = args.queries.read_text(encoding="utf-8").splitlines()[: args.most]
    texts = [record.get("text") or record["question"] for record in map(json.loads, lines)]
    store = Store(args.index)
    with tempfile.TemporaryDirectory() as folder, Searcher.open(args.index, threads=args.threads) as searcher:
        vectors = searcher.encode(texts)
        exact = searcher.rank(texts, K, mode="dense", rerank="none", exact=True, vectors=vectors).ids
        corpus = Corpus.of(searcher, store)
        makers: list[Callable[[], System]] = [
            lambda: Ours(searcher),
            lambda: Lance(corpus, Path(folder), args.threads),
            lambda: Bm25sFaiss(corpus, args.threads),
        ]
        rows: list[dict[str, Any]] = []
        systems: list[Timed] = []
        for make in makers:
            start = time.perf_counter()
            system = make()
            built = time.perf_counter() - start
            settings, recall = tuned(system, vectors, exact, rows[0]["recall"] if rows else 0.0)
            systems.append(Timed(system, settings))
            row = {"system": system.name, "settings": settings, "recall": recall}
            rows.append({**row, "build_seconds": built})
        measure(systems, texts, vectors)
    for row, timed in zip(rows, systems, strict=True):
        same = overlap(np.stack(timed.found), np.stack(systems[0].found))
        row |= {**timed.values(), "same_top_10": same}
    show(rows, len(corpus.texts), len(texts), args.threads)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def show(rows: list[dict[str, Any]], passages: int, queries: int, threads: int) -> None:
    """A table, and each peer's time divided by ours."""
    print(f"{passages:,} passages, {queries:,} queries, {threads} threads, hybrid top {K}")
    print(
        f"{'':44}{'recall@10':>10}{'median ms':>11}{'p95 ms':>9}{'queries/s':>11}{'same as ours':>14}"
        f"{'build s':>9}"
    )
    for row in rows:
        print(
            f"{row['system']:44}{row['recall']:>10.4f}{row['median_ms']:>11.2f}{row['p95_ms']:>9.2f}"
            f"{row['queries_per_second']:>11.0f}{row['same_top_10']:>14.3f}{row['build_seconds']:>9.1f}"
        )
        if row["settings"]:
            print(f"    {row['settings']}")
    ours = rows[0]
    for row in rows[1:]:
        print(
            f"{row['system']}: {row['median_ms'] / ours['median_ms']:.2f} times our time a query, "
            f"{ours['queries_per_second'] / row['queries_per_second']:.2f} times fewer queries/s in a batch"
        )


if __name__ == "__main__":
    main()
