"""Resolve the dense settings: which index for so many vectors, and why."""

import math
from dataclasses import dataclass, field
from typing import Literal

from retrieval.errors import ConfigError
from retrieval.format import ROW_BYTES, DenseSpec, SearchParameters
from retrieval.settings import DenseSettings

FLAT_BELOW = 20_000  # vectors that are searched exactly in a few milliseconds
HIGH_RECALL = 0.98  # targets above it are not reached cheaply with 4-bit codes
HNSW_COARSE_FROM = 16_384  # lists
MIN_PER_LIST = 39  # training vectors, FAISS's own bound
MIN_PER_CODEWORD = 39
OPQ_VECTORS = 65_536  # FAISS uses no more


@dataclass
class _Choice:
    settings: DenseSettings
    vectors: int
    dimension: int
    budget: int
    reasons: list[str] = field(default_factory=list)

    def fits(self, bytes_per_vector: float) -> bool:
        return self.vectors * bytes_per_vector <= self.budget


def choose_dense(
    settings: DenseSettings,
    vectors: int,
    dimension: int,
    memory_budget: int,
    *,
    metric: Literal["cosine", "dot"] = "cosine",
) -> tuple[DenseSpec, str]:
    """The index for `vectors` vectors of `dimension`, and a sentence or two that say why.

    memory_budget: bytes for codes when serving, used where the settings name none. Raises
    ConfigError where a setting does not fit the dimension, with the nearest values that do.
    """
    budget = int(settings.memory_budget) if settings.memory_budget is not None else memory_budget
    choice = _Choice(settings, vectors, dimension, budget)
    kind = _type(choice)
    if kind == "flat":
        spec = DenseSpec(type="flat", dimension=dimension, metric=metric)
    elif kind == "hnsw":
        spec = DenseSpec(
            type="hnsw", dimension=dimension, metric=metric, hnsw_m=settings.hnsw_m,
            hnsw_ef_construction=settings.hnsw_ef_construction,
        )  # fmt: skip
    else:
        spec = _inverted(choice, kind, metric)
    if spec.bytes_per_vector and not choice.fits(spec.bytes_per_vector):
        choice.reasons.append(
            f"it takes {_size(vectors * spec.bytes_per_vector)}, more than the memory budget of "
            f"{_size(budget)}: lists are read from disk where they do not fit"
        )
    return spec, f"{spec.factory}: " + "; ".join(choice.reasons) + "."


def _type(choice: _Choice) -> Literal["flat", "ivf_flat", "ivf_pq", "hnsw"]:
    settings, vectors = choice.settings, choice.vectors
    trainable = max(MIN_PER_LIST, 2**settings.pq_bits if settings.type == "ivf_pq" else 0)
    if settings.type in ("ivf_flat", "ivf_pq") and vectors < trainable:
        choice.reasons.append(
            f"{vectors} vectors are too few to train {settings.type}, which takes {trainable}"
        )
        return "flat"
    if settings.type != "auto":
        choice.reasons.append(f"{settings.type} as configured, {vectors:,} vectors")
        return settings.type
    if vectors < FLAT_BELOW:
        choice.reasons.append(f"{vectors:,} vectors, fewer than {FLAT_BELOW:,}, are searched exactly")
        return "flat"
    full = 2 * choice.dimension + ROW_BYTES
    if settings.recall_target > HIGH_RECALL and choice.fits(full):
        choice.reasons.append(
            f"a recall target of {settings.recall_target} asks for uncompressed lists, and "
            f"{_size(vectors * full)} fit the memory budget of {_size(choice.budget)}"
        )
        return "ivf_flat"
    choice.reasons.append(f"{vectors:,} vectors are compressed, and the shortlist is re-scored exactly")
    return "ivf_pq"


def _inverted(
    choice: _Choice, kind: Literal["ivf_flat", "ivf_pq"], metric: Literal["cosine", "dot"]
) -> DenseSpec:
    settings, vectors = choice.settings, choice.vectors
    nlist = _nlist(choice)
    coarse: Literal["flat", "hnsw"] = "hnsw" if nlist >= HNSW_COARSE_FROM else "flat"
    if settings.coarse != "auto":
        coarse = settings.coarse
    pq_m, wanted = 0, nlist * settings.train_vectors_per_list
    if kind == "ivf_pq":
        pq_m = _pq_m(choice)
        wanted = max(wanted, MIN_PER_CODEWORD * 2**settings.pq_bits, OPQ_VECTORS if settings.opq else 0)
    return DenseSpec(
        type=kind, dimension=choice.dimension, metric=metric, nlist=nlist, coarse=coarse,
        pq_m=pq_m, pq_bits=settings.pq_bits if pq_m else 0, opq=settings.opq and bool(pq_m),
        hnsw_m=settings.hnsw_m, hnsw_ef_construction=settings.hnsw_ef_construction,
        train_vectors=min(vectors, wanted),
        search=SearchParameters(nprobe=max(1, nlist // 16), shortlist=100),
    )  # fmt: skip


def _nlist(choice: _Choice) -> int:
    """About 4 sqrt(n), a power of two; never so many that training lacks vectors."""
    vectors = choice.vectors
    if choice.settings.nlist is None:
        wanted = 2 ** round(math.log2(4 * math.sqrt(vectors)))
        return max(1, min(wanted, 2 ** int(math.log2(vectors / MIN_PER_LIST))))
    nlist = choice.settings.nlist
    if nlist > vectors:
        choice.reasons.append(f"nlist {nlist:,} is lowered to the number of vectors")
        return vectors
    if nlist * MIN_PER_LIST > vectors:
        choice.reasons.append(
            f"nlist {nlist:,} leaves {vectors / nlist:.0f} training vectors a list, fewer than {MIN_PER_LIST}"
        )
    return nlist


def _pq_m(choice: _Choice) -> int:
    """Sub-quantizers of a code: d/8 bytes where a divisor of d allows it, fewer where memory asks."""
    settings, dimension = choice.settings, choice.dimension
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
    fitting = [m for m in usable if choice.fits(m * settings.pq_bits / 8 + ROW_BYTES)]
    best = max(fitting) if fitting else min(usable)
    if best < max(usable):
        choice.reasons.append(
            f"codes of {best * settings.pq_bits // 8} bytes instead of {max(usable) * settings.pq_bits // 8} "
            f"keep to the memory budget of {_size(choice.budget)}"
        )
    return best


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
