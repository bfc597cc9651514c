"""Our dense index against autofaiss 2.18 at equal bytes a vector, on the same vectors, in one run.

    python benchmarks/build/index.py --vectors X.npy --queries Q.npy --autofaiss-env DIR

X and Q are .npy files of shape (n, d) and (q, d), float16 or float32, normalised. The first
quarter of the queries tunes our search; recall@10 and queries/s are measured on the rest, for both.
The peer's environment is made in DIR when it is not there (see `index_autofaiss.py`). Memory is the
peak of anonymous memory while building, above what the process held before.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.build.watch import ready, run_watched, say

from retrieval.dense import DenseSettings, DenseShard, Quantizer
from retrieval.dense.making import (
    build_piece,
    choose_dense,
    choose_parameters,
    evaluate_shard,
    merge_pieces,
    sample_rows,
    train_quantizer,
)
from retrieval.format import ShardVectors, exact_search, open_vectors, write_vectors

K = 10
PART = 4096
PIECE_PARTS = 12
PEER = Path(__file__).with_name("index_autofaiss.py")
PEER_PACKAGES = ["numpy<2", "pyarrow<18", "faiss-cpu==1.8.0", "autofaiss==2.18", "packaging"]


def parts_of(folder: Path) -> tuple[list[Path], list[int], int]:
    """The part files in a folder, their rows and their dimension."""
    paths = sorted(folder.glob("*.npy"))
    shapes = [np.load(path, mmap_mode="r").shape for path in paths]
    return paths, [rows for rows, _ in shapes], shapes[0][1]


def build_ours(folder: Path, out: Path, settings: DenseSettings, threads: int) -> tuple[Quantizer, Any]:
    """Sample, train, build pieces, merge: the steps of a build, one after the other."""
    paths, rows, dimension = parts_of(folder)
    spec, reason = choose_dense(settings, sum(rows), dimension, 8 * 10**9)
    picked = sample_rows(rows, spec.train_vectors, settings.seed)
    mapped = zip(paths, rows, picked, strict=True)
    sample = np.concatenate([open_vectors(path, count, dimension)[take] for path, count, take in mapped])
    trained = train_quantizer(spec, sample, settings.seed, out / "quantizer", threads=threads)
    del sample
    quantizer = Quantizer.open(out / "quantizer", spec)
    folders = []
    for first in range(0, len(paths), PIECE_PARTS):
        some = slice(first, first + PIECE_PARTS)
        folders.append(out / f"piece-{first}")
        vectors = ShardVectors(paths[some], rows[some], dimension)
        build_piece(quantizer, vectors, sum(rows[:first]), folders[-1], threads=threads)
    merge_pieces(quantizer, folders, out / "shard", threads=threads)
    return quantizer, (reason, trained.seconds)


def child(folder: Path, queries_path: Path, out: Path, settings: DenseSettings, threads: int) -> None:
    """Build, tune and search, measured from outside."""
    faiss.omp_set_num_threads(threads)
    paths, rows, dimension = parts_of(folder)
    ready()
    start = time.perf_counter()
    quantizer, (reason, train_seconds) = build_ours(folder, out, settings, threads)
    build_seconds = time.perf_counter() - start
    files = [*(out / "quantizer").iterdir(), *(out / "shard").iterdir()]
    size = sum(path.stat().st_size for path in files)
    say(
        "built", build_seconds=build_seconds, train_seconds=train_seconds, index_bytes=size,
        index=quantizer.kind.notation(quantizer.spec), reason=reason,
    )  # fmt: skip
    vectors = ShardVectors(paths, rows, dimension)
    shard = DenseShard.open(out / "shard", quantizer, vectors)
    tuning = np.load(queries_path.with_name("tuning.npy"))
    points = quantizer.kind.grid(quantizer.spec, K)
    start = time.perf_counter()
    tuned = choose_parameters(
        [evaluate_shard(shard, vectors, tuning, points, K)], points, quantizer.kind, settings
    )
    say("tuned", tune_seconds=time.perf_counter() - start, tuned=str(tuned.parameters), warning=tuned.warning)
    queries = np.load(queries_path)
    shard.search(queries[:32], K, parameters=tuned.parameters)
    start = time.perf_counter()
    _, found = shard.search(queries, K, parameters=tuned.parameters)
    say("searched", top_seconds=time.perf_counter() - start)
    np.save(out / "top.npy", found)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """recall@10 by row: found (q, >= 10), exact (q, 10)."""
    return float(np.mean([len(set(a[:K]) & set(b)) / K for a, b in zip(found, exact, strict=True)]))


def peer_python(env: Path) -> str:
    """The Python of autofaiss's own environment, made where it is not there."""
    python = env / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEER_PACKAGES], check=True)
    return str(python)


def prepare(args: argparse.Namespace, work: Path) -> tuple[ShardVectors, np.ndarray]:
    """Write the part files and the two sets of queries; return the vectors and the test queries."""
    vectors = np.load(args.vectors, mmap_mode="r")
    (work / "vectors").mkdir()
    for first in range(0, len(vectors), PART):
        write_vectors(work / "vectors" / f"{first:012}.npy", vectors[first : first + PART])
    queries = np.load(args.queries).astype(np.float32)
    held = len(queries) // 4
    np.save(work / "tuning.npy", queries[:held])
    np.save(work / "queries.npy", queries[held:])
    return ShardVectors(*parts_of(work / "vectors")), queries[held:]


def main() -> None:
    """Run both, print both and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--autofaiss-env", type=Path, help="its virtual environment; without it, ours alone")
    parser.add_argument("--autofaiss-memory", help="its max_index_memory_usage; default: our index's bytes")
    parser.add_argument("--settings", default="{}", help="dense settings as JSON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    settings = DenseSettings.model_validate_json(args.settings)
    if args.child:
        child(args.vectors, args.queries, args.child, settings, args.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        vectors, queries = prepare(args, work)
        _, exact = exact_search(queries, vectors, K)
        command = [
            sys.executable, __file__, "--vectors", str(work / "vectors"), "--queries",
            str(work / "queries.npy"), "--settings", args.settings, "--threads", str(args.threads),
        ]  # fmt: skip
        (work / "ours").mkdir()
        ours = run_watched([*command, "--child", str(work / "ours")])
        ours["recall"] = recall(np.load(work / "ours" / "top.npy"), exact)
        print(ours.pop("reason"), f"searched with {ours.pop('tuned')}", ours.pop("warning"), flush=True)
        rows = [("ours", ours)]
        if args.autofaiss_env:
            rows += run_peer(args, work, vectors, queries, exact, ours["index_bytes"])
        show(rows, len(vectors), len(queries))


def run_peer(
    args: argparse.Namespace,
    work: Path,
    vectors: ShardVectors,
    queries: np.ndarray,
    exact: np.ndarray,
    our_bytes: int,
) -> list[tuple[str, dict[str, Any]]]:
    """autofaiss as it is, and with its 100 best re-scored exactly by us."""
    (work / "peer").mkdir()
    memory = args.autofaiss_memory or f"{our_bytes / 1e6:.2f}MB"
    peer = run_watched(
        [peer_python(args.autofaiss_env), str(PEER), str(work / "vectors"), str(work / "queries.npy"),
         memory, str(args.threads), str(work / "peer")]
    )  # fmt: skip
    print(f"autofaiss with {memory}: {peer['index']}, {peer['tuned']}", flush=True)
    shortlist = np.load(work / "peer" / "shortlist.npy")
    start = time.perf_counter()
    scores = vectors.scores(queries, shortlist)
    seconds = peer["shortlist_seconds"] + time.perf_counter() - start
    ranked = np.take_along_axis(shortlist, np.argsort(-scores, axis=1), axis=1)
    rescored = {**peer, "top_seconds": seconds, "recall": recall(ranked, exact)}
    peer["recall"] = recall(np.load(work / "peer" / "top.npy"), exact)
    return [("autofaiss", peer), ("autofaiss + our re-scoring of 100", rescored)]


def show(rows: list[tuple[str, dict[str, Any]]], vectors: int, queries: int) -> None:
    """A table, and each peer's figures divided by ours."""
    print(f"{'':36} {'index':34} {'build s':>8} {'MB':>7} {'B/vector':>8} {'recall@10':>9} {'queries/s':>9}")
    shown = []
    for name, row in rows:
        values = (
            row["build_seconds"], (row["peak_bytes"] - row["baseline_bytes"]) / 1e6,
            row["index_bytes"] / vectors, row["recall"], queries / row["top_seconds"],
        )  # fmt: skip
        shown.append(values)
        cells = "{:8.1f} {:7.1f} {:8.1f} {:9.4f} {:9.0f}".format(*values)
        print(f"{name:36} {row['index']:34} {cells}")
    for (name, _), values in zip(rows[1:], shown[1:], strict=True):
        cells = " ".join(f"{theirs / mine:{width}.2f}" for theirs, mine, width in zip(
            values, shown[0], (8, 7, 8, 9, 9), strict=True))  # fmt: skip
        print(f"{name + ' / ours':71} {cells}")
    print(
        f"{vectors:,} vectors, {queries:,} queries in one batch; "
        f"tuning took {rows[0][1]['tune_seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
