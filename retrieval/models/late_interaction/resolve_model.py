"""Which model gives the token vectors, and of what kind it is: known from its files alone, without torch."""

from pathlib import Path
from typing import Any

from retrieval.format import Manifest
from retrieval.models.checks import read_model_json
from retrieval.models.files import opened_model
from retrieval.models.places import DEFAULT_MODEL, TOKEN_MODEL
from retrieval.models.resolved_model import model_card, resolve_model_side
from retrieval.models.trust import OPENED, Trust
from retrieval.settings import LateInteractionSettings, ModelSettings
from retrieval.storage import Store

# Keys of PyLate's early checkpoints, which do not name a model type.
_PYLATE_KEYS = {"query_prefix", "document_prefix", "do_query_expansion", "skiplist_words"}


def late_model(settings: LateInteractionSettings, embedding: ModelSettings) -> ModelSettings:
    """The model of the token vectors: the configured one, or the embedding model of the index."""
    return settings.model or embedding


def with_token_model(settings: LateInteractionSettings, embedding: ModelSettings) -> LateInteractionSettings:
    """The settings with the model that an index gets where none is configured.

    Beside the default encoder that is the packaged model that was trained for token vectors of the same
    language; else the embedding model itself, which fits the corpus.
    """
    if settings.model is not None or embedding.name != DEFAULT_MODEL or embedding.query_name is not None:
        return settings
    same = embedding.model_dump(include={"device", "dtype", "batch_tokens"})
    return settings.model_copy(update={"model": ModelSettings(name=TOKEN_MODEL, **same)})


def late_card(
    settings: LateInteractionSettings, embedding: ModelSettings, trust: Trust = Trust()
) -> dict[str, Any]:
    """Kind ("checkpoint" or "encoder") and, by side, name, revision and fingerprint of the model, as JSON.

    Raises ModelError as `models.resolve`.
    """
    model = late_model(settings, embedding)
    folder = resolve_model_side(model, "passage", trust).folder
    return {"kind": "checkpoint" if is_checkpoint(folder) else "encoder", **model_card(model, trust)}


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a ColBERT checkpoint: a MultiVectorEncoder's, Stanford's or PyLate's.

    Any other encoder gives its own token vectors.
    """
    card = read_model_json(folder / "config_sentence_transformers.json") or {}
    config = read_model_json(folder / "config.json") or {}
    return (
        card.get("model_type") in ("MultiVectorEncoder", "ColBERT")
        or bool(_PYLATE_KEYS & set(card))
        or "HF_ColBERT" in (config.get("architectures") or [])
    )


def settings_of_index(
    manifest: Manifest, store: Store, cache: Path, trust: Trust = OPENED
) -> LateInteractionSettings:
    """The settings of an index, with a model that may be opened; see `opened_model`.

    Raises ModelError where a configured model is not here, is another one by that name, or may not be loaded.
    """
    settings = LateInteractionSettings.model_validate(manifest.late_interaction.get("settings", {}))
    if settings.model is None:
        return settings
    card, files = manifest.late_interaction["model"], tuple(manifest.model_files)
    model = opened_model(settings.model, card, files, store, cache, trust)
    return settings.model_copy(update={"model": model})
