"""Peak anonymous memory when pieces of 1, 2 and 4 million vectors are merged into a shard, by index type.

    python benchmarks/build/merge.py --work FOLDER

The vectors are synthetic. Each merge runs in a process of its own; the peak above its baseline must
not grow with the number of vectors.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.build.watch import ready, run_watched, say

from retrieval.dense import Quantizer
from retrieval.dense.making import build_piece, merge_pieces, train_quantizer
from retrieval.format import FaissSpec, ShardVectors

DIMENSION = 64
PIECE = 250_000
SPECS = {
    "ivf_flat": FaissSpec(type="ivf_flat", dimension=DIMENSION, nlist=1024),
    "ivf_pq 4-bit": FaissSpec(type="ivf_pq", dimension=DIMENSION, nlist=1024, pq_m=16, pq_bits=4),
    "ivf_pq 8-bit": FaissSpec(type="ivf_pq", dimension=DIMENSION, nlist=1024, pq_m=8, pq_bits=8),
}


def synthetic(count: int, seed: int) -> np.ndarray:
    """Normalised vectors (count, DIMENSION) float16 around 500 centres."""
    centres = np.random.default_rng(0).normal(size=(500, DIMENSION)).astype(np.float32)
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, len(centres), count)]
    vectors += 0.8 * rng.standard_normal(vectors.shape, np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def make_pieces(spec: FaissSpec, folder: Path, pieces: int, threads: int) -> None:
    """Train on synthetic vectors and build the pieces."""
    train_quantizer(spec, synthetic(39 * spec.nlist, seed=1), 0, folder / "quantizer", threads=threads)
    quantizer = Quantizer.open(folder / "quantizer", spec)
    for number in range(pieces):
        vectors = ShardVectors.from_array(synthetic(PIECE, seed=2 + number))
        build_piece(quantizer, vectors, number * PIECE, folder / f"piece-{number}", threads=threads)


def child(name: str, folder: Path, pieces: int) -> None:
    """Merge the first pieces, measured from outside."""
    quantizer = Quantizer.open(folder / "quantizer", SPECS[name])
    ready()
    stats = merge_pieces(
        quantizer, [folder / f"piece-{number}" for number in range(pieces)], folder / "shard"
    )
    say("built", vectors=stats.vectors, seconds=round(stats.seconds, 2), bytes=stats.bytes)


def main() -> None:
    """Build pieces once by type, merge 1, 2 and 4 million vectors, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, help="scratch folder (about 1.5 GB); default: a temporary one")
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=3, metavar=("TYPE", "FOLDER", "PIECES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Path(args.child[1]), int(args.child[2]))
        return
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        print(f"{'type':14} {'vectors':>10} {'peak MB':>8} {'above baseline':>15} {'seconds':>8} {'MB/s':>6}")
        for name, spec in SPECS.items():
            folder = Path(work) / spec.type
            make_pieces(spec, folder, max(args.millions) * 1_000_000 // PIECE, args.threads)
            peaks = []
            for millions in args.millions:
                pieces = str(millions * 1_000_000 // PIECE)
                row = run_watched([sys.executable, __file__, "--child", name, str(folder), pieces])
                peaks.append(row["peak_bytes"])
                above = (row["peak_bytes"] - row["baseline_bytes"]) / 1e6
                print(
                    f"{name:14} {row['vectors']:>10,} {row['peak_bytes'] / 1e6:>8.1f} {above:>15.1f} "
                    f"{row['seconds']:>8.2f} {row['bytes'] / 1e6 / row['seconds']:>6.0f}",
                    flush=True,
                )
            print(f"{name:14} largest peak / smallest: {max(peaks) / min(peaks):.3f}")
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
