"""The models of a search, opened when first needed: query encoder, token encoder, cross-encoder."""

from functools import cached_property
from pathlib import Path

from retrieval.cross_encoder import CrossEncoder
from retrieval.encoder import Encoder
from retrieval.errors import ModelError
from retrieval.late_interaction import TokenEncoder, settings_of_index
from retrieval.manifest import Manifest
from retrieval.model_files import use_files
from retrieval.models import model_card
from retrieval.search_settings import CrossEncoderSettings
from retrieval.settings import ModelSettings
from retrieval.storage import Store


class Models:
    """Models as the manifest names them. Loading takes seconds; checking on opening takes milliseconds."""

    def __init__(self, store: Store, manifest: Manifest, cache: Path, threads: int | None) -> None:
        """Raises ModelError where the embedding model is not here, or is another one by that name."""
        settings = ModelSettings.model_validate(manifest.model["settings"])
        files = tuple(manifest.model_files)
        self.embedding = use_files(settings, manifest.model, files, store, cache)
        self._store = store
        self._manifest = manifest
        self._cache = cache
        self._threads = threads
        here, there = model_card(self.embedding)["query"], manifest.model["query"]
        if here["fingerprint"] != there["fingerprint"]:
            raise ModelError(
                f"the index was built with another model than the {here['name']} that is here",
                hint=f"It needs {there['name']} with the fingerprint {there['fingerprint'][:16]}.",
            )

    def loaded(self, name: str) -> bool:
        """Whether a model, named as its property, is in memory."""
        return name in self.__dict__

    @cached_property
    def encoder(self) -> Encoder:
        """Queries to vectors."""
        encoder = Encoder.open(self.embedding, sides={"query"}, threads=self._threads)
        dimension = self._manifest.dense["dimension"]
        if encoder.dimension != dimension:
            raise ModelError(
                f"queries have {encoder.dimension} dimensions, the index has {dimension}",
                hint="Check model.query_name.",
            )
        return encoder

    @cached_property
    def tokens(self) -> TokenEncoder:
        """Queries and passages to token vectors."""
        settings = settings_of_index(self._manifest, self._store, self._cache)
        return TokenEncoder.open(settings, self.embedding, threads=self._threads)

    @cached_property
    def cross_encoder(self) -> CrossEncoder:
        """Query and passage together to a score."""
        found = self._manifest.cross_encoder
        settings = CrossEncoderSettings.model_validate(found.get("settings", {}))
        if settings.model is not None:
            files = tuple(self._manifest.model_files)
            model = use_files(settings.model, found["model"], files, self._store, self._cache)
            settings = settings.model_copy(update={"model": model})
        return CrossEncoder.open(settings, threads=self._threads)
