"""Opening an index and asking it one question at a time: seconds, anonymous memory, milliseconds.

    python benchmarks/search/open_index.py --make 1000000 --work FOLDER
    python benchmarks/search/open_index.py --index INDEX --queries QUERIES.jsonl

With --make the index is made first, without embedding (see synthetic.py), and kept in FOLDER. The query
encoder is left out: queries are embedded beforehand, in another process. Memory is RssAnon, so mapped files
do not count; what Python and its imported libraries hold before opening is taken off.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.build.watch import anonymous_bytes, run_watched, say

K = 10
WARM_UP = 20


def child(index: str, folder: Path, threads: int | None) -> None:
    """Open and search, in a process that does nothing else."""
    from retrieval.search import Searcher

    queries = json.loads((folder / "queries.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "vectors.npy")
    before = anonymous_bytes(os.getpid())
    start = time.perf_counter()
    searcher = Searcher.open(index, threads=threads)
    seconds = time.perf_counter() - start
    opened = anonymous_bytes(os.getpid()) - before
    values = {}
    for mode in ("dense", "lexical", "hybrid"):
        times = []
        for number in range(len(queries)):
            start = time.perf_counter()
            searcher.rank(
                queries[number : number + 1], K, mode=mode, rerank="none",
                vectors=vectors[number : number + 1],
            )  # fmt: skip
            times.append(1000 * (time.perf_counter() - start))
        values[mode] = {
            "first_ms": times[0],
            "median_ms": float(np.median(times[WARM_UP:])),
            "p95_ms": float(np.percentile(times[WARM_UP:], 95)),
        }
    searched = anonymous_bytes(os.getpid()) - before
    start = time.perf_counter()
    searcher.rank(queries, K, mode="hybrid", rerank="none", vectors=vectors)
    batch = len(queries) / (time.perf_counter() - start)
    say(
        "done", passages=searcher.manifest.passages, shards=len(searcher.manifest.shards),
        index=searcher.manifest.dense_reason.partition(":")[0], open_seconds=seconds,
        search=searcher.spec.search.model_dump(),
        open_bytes=opened, searched_bytes=searched, ms=values, batch_queries_per_second=batch,
    )  # fmt: skip
    searcher.close()


def embed(index: str, queries: Path | None, most: int, folder: Path) -> None:
    """Queries of a file, or sentences of the synthetic corpus, and their embeddings by the index's model."""
    from synthetic import sentences

    from retrieval.search import Searcher

    if queries is None:
        texts = sentences()[:: max(1, len(sentences()) // most)][:most]
    else:
        lines = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()[:most]]
        texts = [line.get("text") or line["question"] for line in lines]
    with Searcher.open(index) as searcher:
        np.save(folder / "vectors.npy", searcher.encode(texts))
    (folder / "queries.json").write_text(json.dumps(texts), encoding="utf-8")


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of a fresh process that opens the index and searches it, with queries embedded before."""
    index = args.index
    if args.make:
        from synthetic import make_index

        index = make_index(args.work, args.make)
    with tempfile.TemporaryDirectory() as folder:
        given = {"--index": index, "--folder": folder, "--most": args.most, "--queries": args.queries}
        given["--threads"] = args.threads
        words = [str(word) for name, value in given.items() if value is not None for word in (name, value)]
        command = [sys.executable, __file__, *words]
        # Searching takes its threads from OpenMP.
        env = {**os.environ, **({"OMP_NUM_THREADS": str(args.threads)} if args.threads else {})}
        subprocess.run([*command, "--step", "embed"], check=True)
        return run_watched([*command, "--step", "child"], env)


def main() -> None:
    """Make the index if asked, embed the queries, open and search in a fresh process, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", help="an index that exists")
    parser.add_argument("--make", type=int, help="make one with so many passages")
    parser.add_argument(
        "--work", type=Path, default=Path("benchmark-index"), help="where it is made and kept"
    )
    parser.add_argument("--queries", type=Path, help="JSONL with text or question; default: sentences")
    parser.add_argument("--most", type=int, default=300, help="queries to ask")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--step", choices=["embed", "child"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step == "embed":
        embed(args.index, args.queries, args.most, args.folder)
        return
    if args.step == "child":
        child(args.index, args.folder, args.threads)
        return
    if (args.make is None) == (args.index is None):
        parser.error("give --make or --index")
    found = measured(args)
    print(
        f"{found['passages']:,} passages in {found['shards']} shards, {found['index']}, searched with "
        f"{found['search']}"
    )
    print(
        f"opened in {found['open_seconds']:.3f} s with {found['open_bytes'] / 1e6:.0f} MB anonymous memory, "
        f"{found['searched_bytes'] / 1e6:.0f} MB after the queries"
    )
    print(f"{'mode':<10}{'first ms':>10}{'median ms':>11}{'p95 ms':>10}   one at a time, top {K}, no encoder")
    for mode, ms in found["ms"].items():
        print(f"{mode:<10}{ms['first_ms']:>10.2f}{ms['median_ms']:>11.2f}{ms['p95_ms']:>10.2f}")
    print(f"hybrid, {args.most} queries in one batch: {found['batch_queries_per_second']:.0f} queries/s")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
