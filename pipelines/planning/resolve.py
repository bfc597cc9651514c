"""Resolves a configuration once: models located and checked, the schema taken over, fingerprints made."""

from typing import Any

from pipelines.chunking import ChunkSettings
from pipelines.config import (
    BuildConfig,
    LocatedModel,
    MetadataType,
    PassageSpec,
    ResolvedBuild,
    TokenCodeSpec,
    VectorSpec,
    configured_trust,
)
from pipelines.sources import format_fingerprint
from retrieval.dense.making import check_options, choose_dense
from retrieval.models import model_card, resolve_model_side
from retrieval.models.encoders import read_layout
from retrieval.models.late_interaction import late_card, late_model, with_token_model
from retrieval.settings import ModelSettings, fingerprint
from retrieval.storage import Store

PARTS_CODE = 4  # raised when the code changes what a part holds; likewise below
VECTORS_CODE = 1

MUCH_MEMORY = 2**40  # bytes: what is chosen by memory is chosen later, with the memory that there is


def resolve_build(config: BuildConfig, store: Store, metadata: dict[str, MetadataType]) -> ResolvedBuild:
    """Everything that the stages go by; writes nothing, and loads no model.

    Raises ModelError where a model is not there or is refused, and ConfigError where settings do not fit.
    """
    model = locate_model(config.model, store)
    late = with_token_model(config.late_interaction, config.model)
    cross_encoder = config.cross_encoder.model
    late_settings = late_model(late, config.model)
    card = late_card(late, config.model, configured_trust(late_settings))
    return ResolvedBuild(
        store=store,
        passages=passage_spec(config, store, metadata, model),
        vectors=VectorSpec(store, model, _dimension(config.model), _vectors_fingerprint(model)),
        token_codes=TokenCodeSpec(
            store,
            late,
            LocatedModel(late_settings, card, store),
            config.dense.retrain_growth,
        ),
        cross_encoder=locate_model(cross_encoder, store) if cross_encoder else None,
        lexical=config.lexical,
        dense=config.dense,
        shard_passages=config.index.shard_passages,
        piece_passages=config.index.piece_passages,
    )


def check_dense(config: BuildConfig) -> None:
    """Settings that do not fit the type, or the model, are told before hours of embedding, not after."""
    check_options(config.dense)
    dimension = _dimension(config.model)
    if dimension is not None:
        choose_dense(config.dense, 1_000_000, dimension, MUCH_MEMORY)


def locate_model(settings: ModelSettings, store: Store) -> LocatedModel:
    """A model of the configuration, found and checked on this machine. Raises ModelError."""
    return LocatedModel(settings, model_card(settings, configured_trust(settings)), store)


def _dimension(settings: ModelSettings) -> int | None:
    model = resolve_model_side(settings, "passage", configured_trust(settings))
    return read_layout(model.folder, "passage").dimension


def passage_spec(
    config: BuildConfig, store: Store, metadata: dict[str, MetadataType], model: LocatedModel
) -> PassageSpec:
    """How documents become passages, with these metadata fields; `model` is the encoder."""
    corpus, chunk, part_passages = config.corpus, config.chunk, config.index.part_passages
    measured_by = model if _chunks_by_model(chunk) else None
    formats = format_fingerprint(corpus)
    made_of = fingerprint(
        PARTS_CODE,
        corpus.fingerprint_values("parts"),
        metadata,
        chunk.fingerprint_values("parts"),
        part_passages,
        _passage_model(measured_by) if measured_by else None,
        *([formats] if formats else []),
    )
    return PassageSpec(store, corpus, metadata, chunk, part_passages, measured_by, made_of)


def _chunks_by_model(chunk: ChunkSettings) -> bool:
    """Whether passages depend on the model: its tokenizer measures them, or it compares sentences."""
    measures = chunk.unit == "tokens" or chunk.size is None
    method = chunk.chosen
    return method.compares_sentences or (method.counts_units and measures)


def _vectors_fingerprint(model: LocatedModel) -> str:
    """Names what a part's vectors depend on beside its titles and texts."""
    return fingerprint(VECTORS_CODE, _passage_model(model), model.settings.fingerprint_values("vectors"))


def _passage_model(model: LocatedModel) -> list[Any]:
    return [model.passage_fingerprint, model.settings.max_tokens, model.settings.passage_prompt]
