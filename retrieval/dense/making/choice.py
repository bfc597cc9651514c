"""Resolve the dense settings: which index for so many vectors, and why."""

from typing import Literal

from pydantic import ValidationError

from retrieval.dense.index_type import Demand, bytes_in_words
from retrieval.dense.registry import dense_type
from retrieval.dense.settings import DenseSettings
from retrieval.errors import ConfigError
from retrieval.format import ROW_BYTES, DenseSpec
from retrieval.storage import first_error

FLAT_BELOW = 20_000  # vectors that are searched exactly in a few milliseconds
HIGH_RECALL = 0.98  # targets above it are not reached cheaply with 4-bit codes


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
    demand = Demand(settings, vectors, dimension, metric, budget)
    kind = dense_type(_type(demand), settings.plugins)
    spec = kind.choose(demand)
    each = kind.memory_bytes(spec)
    if each and not demand.fits(each):
        demand.reasons.append(
            f"it takes {bytes_in_words(vectors * each)}, more than the memory budget of "
            f"{bytes_in_words(budget)}: lists are read from disk where they do not fit"
        )
    return spec, f"{kind.notation(spec)}: " + "; ".join(demand.reasons) + "."


def check_options(settings: DenseSettings) -> None:
    """Raise ConfigError where `dense.options` are not those of the configured type."""
    if settings.type == "auto":
        return
    kind = dense_type(settings.type, settings.plugins)
    try:
        kind.options.model_validate(settings.options)
    except ValidationError as error:
        known = ", ".join(kind.options.model_fields) or "none"
        raise ConfigError(
            f"dense.options.{first_error(error)}", hint=f"Options of {kind.name}: {known}."
        ) from error


def _type(demand: Demand) -> str:
    settings, vectors = demand.settings, demand.vectors
    if settings.type != "auto":
        trainable = dense_type(settings.type, settings.plugins).least_vectors(settings)
        if vectors < trainable:
            demand.reasons.append(
                f"{vectors} vectors are too few to train {settings.type}, which takes {trainable}"
            )
            return "flat"
        demand.reasons.append(f"{settings.type} as configured, {vectors:,} vectors")
        return settings.type
    if vectors < FLAT_BELOW:
        demand.reasons.append(f"{vectors:,} vectors, fewer than {FLAT_BELOW:,}, are searched exactly")
        return "flat"
    full = 2 * demand.dimension + ROW_BYTES
    if settings.recall_target > HIGH_RECALL and demand.fits(full):
        demand.reasons.append(
            f"a recall target of {settings.recall_target} asks for uncompressed lists, and "
            f"{bytes_in_words(vectors * full)} fit the memory budget of {bytes_in_words(demand.budget)}"
        )
        return "ivf_flat"
    demand.reasons.append(f"{vectors:,} vectors are compressed, and the shortlist is re-scored exactly")
    return "ivf_pq"
