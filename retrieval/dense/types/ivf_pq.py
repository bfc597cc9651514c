"""ivf_pq: inverted lists of product-quantizer codes, after a rotation (OPQ) where that is asked for."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.dense.faiss_files import Walk, check_transform, read_faiss
from retrieval.dense.gpu import flat_index, gpu_count
from retrieval.dense.index_type import Demand, bytes_in_words
from retrieval.dense.settings import DenseSettings
from retrieval.dense.stored_shard import StoredShard
from retrieval.dense.types.inverted import MIN_PER_LIST, InvertedType, TrainedLists, choose_nlist
from retrieval.errors import ConfigError
from retrieval.format import ROW_BYTES, FaissSpec

TRANSFORM = "transform.faiss"
SHORTLISTS = (50, 100, 200, 400)
MIN_PER_CODEWORD = 39
PQ_VECTORS_PER_CODEWORD = 1024
OPQ_VECTORS = 65_536  # FAISS uses no more
OPQ_ITERATIONS = 20  # FAISS's default of 50 takes minutes on a CPU


class IvfPq(InvertedType):
    """Codes of 4 or 8 bits for each of `pq_m` parts of a vector."""

    name = "ivf_pq"
    summary = "inverted lists of product-quantizer codes, re-scored exactly"
    kind = b"IwPQ"
    advice = "A larger dense.pq_m, dense.pq_bits: 8 or dense.type: ivf_flat raises it."

    def least_vectors(self, settings: DenseSettings) -> int:
        """Those that train one list and the codewords."""
        return max(MIN_PER_LIST, 2**settings.pq_bits)

    def choose(self, demand: Demand) -> FaissSpec:
        """Lists, and the length of codes."""
        settings, nlist = demand.settings, choose_nlist(demand)
        pq_m = _pq_m(demand)
        least = max(MIN_PER_CODEWORD * 2**settings.pq_bits, OPQ_VECTORS if settings.opq else 0)
        return self.chosen_lists(demand, nlist, least, pq_m=pq_m, pq_bits=settings.pq_bits, opq=settings.opq)

    def notation(self, spec: FaissSpec) -> str:
        """As FAISS calls it."""
        rotation = f"OPQ{spec.pq_m}," if spec.opq else ""
        return f"{rotation}{self.coarse_notation(spec)},PQ{spec.pq_m}x{spec.pq_bits}"

    def code_size(self, spec: FaissSpec) -> int:
        """pq_m sub-quantizers of pq_bits."""
        return (spec.pq_m * spec.pq_bits + 7) // 8

    def shortlists(self, k: int) -> list[int]:
        """Codes are re-scored: a longer shortlist finds more."""
        return [n for n in SHORTLISTS if n >= k] or [k, 2 * k, 4 * k]

    def trained_files(self, spec: FaissSpec) -> list[str]:
        """The index, and the rotation."""
        return [*super().trained_files(spec), *([TRANSFORM] if spec.opq else [])]

    def least_sample(self, spec: FaissSpec) -> int:
        """A vector a list, and a codeword."""
        return max(spec.nlist, 2**spec.pq_bits)

    def train(self, spec: FaissSpec, sample: np.ndarray, seed: int, folder: Path) -> None:
        """The rotation first: lists and codes are of what it makes."""
        self.check_sample(spec, sample)
        if spec.opq:
            sample = np.ascontiguousarray(sample, np.float32)
            transform = _rotation(spec, sample)
            sample = transform.apply(sample)
            faiss.write_VectorTransform(transform, str(folder / TRANSFORM))
        super().train(spec, sample, seed, folder)

    def empty_index(self, spec: FaissSpec, coarse: Any, *, lists: bool) -> Any:
        """Of product quantizers."""
        values = (coarse, spec.dimension, spec.nlist, spec.pq_m, spec.pq_bits)
        return faiss.IndexIVFPQ(*values, faiss.METRIC_INNER_PRODUCT, lists)

    def train_codes(self, spec: FaissSpec, index: Any, sample: np.ndarray, seed: int) -> None:
        """The codebooks; the centroids are there."""
        index.pq.cp.seed = seed
        index.pq.cp.min_points_per_centroid = 1  # `choose` has warned already
        if spec.pq_bits == 4:
            index.pq.cp.max_points_per_centroid = PQ_VECTORS_PER_CODEWORD
        assigner = flat_index(spec.dimension // spec.pq_m, faiss.METRIC_L2) if gpu_count() else None
        index.pq.assign_index = assigner  # a bare pointer: `assigner` must live as long as the training
        index.train(sample)
        index.pq.assign_index = None

    def share_codes(self, index: Any, trained: Any) -> None:
        """The codebooks."""
        index.pq = trained.pq

    def check_codes(self, walk: Walk, spec: FaissSpec) -> None:
        """The codebooks, and that they are of this spec."""
        if walk.value("B") > 1:
            raise walk.damaged("by_residual is no truth value")
        walk.values(
            code_size=("Q", self.code_size(spec)), d=("Q", spec.dimension), m=("Q", spec.pq_m),
            bits=("Q", spec.pq_bits),
        )  # fmt: skip
        walk.array("<f4", 2**spec.pq_bits * spec.dimension)

    def load(self, folder: Path, spec: FaissSpec) -> TrainedLists:
        """The index, and the rotation."""
        trained = super().load(folder, spec)
        if not spec.opq:
            return trained
        check_transform(folder / TRANSFORM, spec)
        transform = read_faiss(faiss.read_VectorTransform, folder / TRANSFORM)
        return TrainedLists(spec, trained.index, transform)

    def over(self, stored: StoredShard, spec: FaissSpec, trained: TrainedLists, *, pack: bool) -> Any:
        """With 4-bit codes in the blocked layout that is searched about 20 times as fast, where packed."""
        index = super().over(stored, spec, trained, pack=pack)
        if pack and spec.pq_bits == 4:
            index.own_invlists = True  # the blocked copy takes this flag over
            return faiss.IndexIVFPQFastScan(index)
        return index


def _rotation(spec: FaissSpec, sample: np.ndarray) -> "faiss.OPQMatrix":
    matrix = faiss.OPQMatrix(spec.dimension, spec.pq_m)
    codebooks = faiss.ProductQuantizer(spec.dimension, spec.pq_m, spec.pq_bits)
    matrix.pq = codebooks  # a bare pointer: `codebooks` must live as long as the training
    matrix.max_train_points = OPQ_VECTORS
    matrix.niter = OPQ_ITERATIONS
    matrix.train(sample)
    matrix.pq = None
    return matrix


def _pq_m(demand: Demand) -> int:
    """Sub-quantizers of a code: d/8 bytes where a divisor of d allows it, fewer where memory asks."""
    settings, dimension = demand.settings, demand.dimension
    divisors = [m for m in range(1, dimension + 1) if dimension % m == 0]
    if settings.pq_m is not None:
        if settings.pq_m not in divisors:
            near = sorted(divisors, key=lambda m: abs(m - settings.pq_m))[:3]  # type: ignore[operator]
            raise ConfigError(
                f"dense.pq_m is {settings.pq_m}, which does not divide the vectors' {dimension} dimensions.",
                hint=f"Choose one of {', '.join(map(str, sorted(near)))}.",
            )
        return settings.pq_m
    preferred = dimension // settings.pq_bits  # d/4 of 4 bits or d/8 of 8 bits: d/8 bytes
    usable = [m for m in divisors if dimension / 32 <= m <= max(1, preferred)]
    if not usable:  # a prime dimension, for one: rather too long a code than one of a byte
        return min(m for m in divisors if m >= preferred)
    fitting = [m for m in usable if demand.fits(m * settings.pq_bits / 8 + ROW_BYTES)]
    best = max(fitting) if fitting else min(usable)
    if best < max(usable):
        demand.reasons.append(
            f"codes of {best * settings.pq_bits // 8} bytes instead of {max(usable) * settings.pq_bits // 8} "
            f"keep to the memory budget of {bytes_in_words(demand.budget)}"
        )
    return best


TYPE = IvfPq()
