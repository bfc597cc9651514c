"""Which model gives the token vectors, and of what kind it is: known from its files alone, without torch."""

from pathlib import Path
from typing import Any

from retrieval.errors import ModelError
from retrieval.manifest import Manifest
from retrieval.model_files import use_files
from retrieval.models import model_card, read_json, resolve_side
from retrieval.search_settings import LateInteractionSettings
from retrieval.settings import ModelSettings
from retrieval.storage import Store

# Keys of PyLate's early checkpoints, which do not name a model type.
_PYLATE_KEYS = {"query_prefix", "document_prefix", "do_query_expansion", "skiplist_words"}


def late_model(settings: LateInteractionSettings, embedding: ModelSettings) -> ModelSettings:
    """The model of the token vectors: the configured one, or the embedding model of the index."""
    return settings.model or embedding


def late_card(settings: LateInteractionSettings, embedding: ModelSettings) -> dict[str, Any]:
    """Kind ("checkpoint" or "encoder") and, by side, name, revision and fingerprint of the model, as JSON.

    Raises ModelError as `models.resolve`.
    """
    model = late_model(settings, embedding)
    folder = resolve_side(model, "passage").folder
    return {"kind": "checkpoint" if is_checkpoint(folder) else "encoder", **model_card(model)}


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a ColBERT checkpoint: a MultiVectorEncoder's, Stanford's or PyLate's.

    Any other encoder gives its own token vectors.
    """
    card = read_json(folder / "config_sentence_transformers.json") or {}
    config = read_json(folder / "config.json") or {}
    return (
        card.get("model_type") in ("MultiVectorEncoder", "ColBERT")
        or bool(_PYLATE_KEYS & set(card))
        or "HF_ColBERT" in (config.get("architectures") or [])
    )


def settings_of_index(manifest: Manifest, store: Store, cache: Path) -> LateInteractionSettings:
    """The settings of an index, with its own copy of the model's files where it has one.

    Raises ModelError where a configured model is not here, or is another one by that name.
    """
    settings = LateInteractionSettings.model_validate(manifest.late_interaction.get("settings", {}))
    if settings.model is None:
        return settings
    card = manifest.late_interaction["model"]
    return with_files(settings, settings.model, card, tuple(manifest.model_files), store, cache)


def with_files(
    settings: LateInteractionSettings, model: ModelSettings, card: dict[str, Any], files: tuple[Any, ...],
    store: Store, cache: Path,
) -> LateInteractionSettings:  # fmt: skip
    """Settings whose model is the index's copy of it. Raises ModelError where it is not the one of `card`."""
    found = settings.model_copy(update={"model": use_files(model, card, files, store, cache)})
    here = late_card(found, model)
    for side in ("passage", "query"):
        if here[side]["fingerprint"] != card[side]["fingerprint"]:
            raise ModelError(
                f"the token vectors come from another model than the {card[side]['name']} that is here",
                hint=f"The index needs the one with the fingerprint {card[side]['fingerprint'][:16]}.",
            )
    return found
