"""Small clustered vectors, and a dense index built from them, for the tests of the dense index."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.dense.dense_shard import DenseShard
from retrieval.dense.making.merging import merge_pieces
from retrieval.dense.making.pieces import build_piece
from retrieval.dense.making.training import train_quantizer
from retrieval.dense.quantizer import Quantizer
from retrieval.format.dense_spec import FaissSpec
from retrieval.format.vectors import ShardVectors, write_vectors

DIMENSION = 32


def clustered(count: int, seed: int, dimension: int = DIMENSION) -> np.ndarray:
    """Normalised vectors (count, dimension) float32 around 50 centres that do not depend on the seed."""
    centres = np.random.default_rng(12345).normal(size=(50, dimension))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, 50, count)] + 0.8 * rng.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ivf(kind: str = "ivf_pq", **changes: object) -> FaissSpec:
    """A small spec; 4-bit codes of 16 sub-quantizers in 32 lists unless changed."""
    values: dict = {"type": kind, "dimension": DIMENSION}
    if kind in ("ivf_pq", "ivf_flat"):
        values |= {"nlist": 32}
    if kind == "ivf_pq":
        values |= {"pq_m": 16, "pq_bits": 4}
    return FaissSpec.model_validate(values | changes)


@dataclass
class Built:
    """A built shard's folder and what it was built from."""

    folder: Path
    vectors: ShardVectors
    quantizer: Quantizer

    def open(self, *, pack: bool = True) -> DenseShard:
        """Open the shard."""
        return DenseShard.open(self.folder, self.quantizer, self.vectors, pack=pack)


def stored(folder: Path, vectors: np.ndarray, part_rows: list[int]) -> ShardVectors:
    """Vectors written as part files and opened again."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.npy" for number in range(len(part_rows))]
    ends = np.cumsum(part_rows)
    for path, end, rows in zip(paths, ends, part_rows, strict=True):
        write_vectors(path, vectors[end - rows : end])
    return ShardVectors(paths, part_rows, vectors.shape[1])


def trained(folder: Path, spec: FaissSpec, vectors: np.ndarray) -> Quantizer:
    """A quantizer trained on all vectors, as a process would open it."""
    train_quantizer(spec, vectors, 0, folder, threads=2)
    return Quantizer.open(folder, spec)


def build(folder: Path, spec: FaissSpec, vectors: np.ndarray, cuts: list[int]) -> Built:
    """A shard merged from pieces that end before the rows `cuts`, all from one quantizer."""
    quantizer = trained(folder / "quantizer", spec, vectors)
    return build_with(folder, quantizer, vectors, cuts)


def build_with(folder: Path, quantizer: Quantizer, vectors: np.ndarray, cuts: list[int]) -> Built:
    """As `build`, with a quantizer that is there already."""
    folders, first = [], 0
    for number, end in enumerate([*cuts, len(vectors)]):
        piece = ShardVectors.from_array(vectors[first:end].astype(np.float16))
        folders.append(folder / f"piece-{number}")
        build_piece(quantizer, piece, first, folders[-1], threads=2)
        first = end
    every = stored(folder / "vectors", vectors, [len(vectors) // 3, len(vectors) - len(vectors) // 3])
    merge_pieces(quantizer, folders, folder / "shard", vectors=every, threads=2)
    return Built(folder / "shard", every, quantizer)


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean share of the wanted rows (q, k) that were found (q, k)."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, wanted, strict=True)]))
