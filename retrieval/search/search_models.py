"""The models of a search, opened when first needed: query encoder, token encoder, cross-encoder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from retrieval.deadline import look
from retrieval.errors import ModelError
from retrieval.format import Manifest, Passage
from retrieval.models import LOADED, OPENED, Trust, opened_model
from retrieval.models.cross_encoders import CrossEncoder
from retrieval.models.encoders import Encoder
from retrieval.models.late_interaction import (
    TokenEncoder,
    best_pairs,
    maxsim,
    open_token_encoder,
    settings_of_index,
)
from retrieval.results import TokenShare
from retrieval.search.embedding_cache import VectorCache
from retrieval.search.protocols import TokenShareRequest
from retrieval.settings import CrossEncoderSettings, ModelSettings
from retrieval.storage import Store
from retrieval.text import whole_clusters

T = TypeVar("T")


def model_name(manifest: Manifest) -> str:
    """What tells the query encoder of a version from others: its files, prompt and precision."""
    return json.dumps(manifest.model, sort_keys=True)


class Models:
    """Models as the manifest names them. Loading takes seconds; checking on opening takes milliseconds.

    Safe to use from several threads: who needs a model that is being loaded waits for that one alone, at most
    as long as its deadline allows.
    """

    def __init__(
        self, store: Store, manifest: Manifest, cache: Path, threads: int | None,
        known: VectorCache | None = None, trust: Trust = OPENED,
    ) -> None:  # fmt: skip
        """known: embeddings of earlier queries. trust: what whoever opens the index allows its models.

        Raises ModelError where the embedding model is not here, is another one by that name, or may not be
        loaded.
        """
        settings = ModelSettings.model_validate(manifest.model["settings"])
        files = tuple(manifest.model_files)
        self.embedding = opened_model(settings, manifest.model, files, store, cache, trust)
        self._store = store
        self._manifest = manifest
        self._cache = cache
        self._threads = threads
        self._known = known
        self._name = model_name(manifest)
        self._trust = trust
        self._held: dict[str, Any] = {}

    def load(self, name: str) -> bool:
        """Have `encoder`, `tokens` or `cross_encoder` in memory; whether that took loading it."""
        if name in self._held:
            return False
        getattr(self, name)
        return True

    def encode(self, queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
        """Embeddings of queries (q, d) float32, and the places of those longer than the window."""
        if self._known is None:
            return self._encode(queries)
        return self._known.encode(self._name, queries, self._encode)

    def _encode(self, queries: Sequence[str]) -> tuple[np.ndarray, set[int]]:
        most = self.encoder.max_query_tokens
        long = [place for place, query in enumerate(queries) if len(query) > most]  # only these need counting
        cut = {place for place in long if self.encoder.count_truncated([queries[place]])}
        return self.encoder.encode_queries(list(queries)), cut

    def encode_tokens(self, queries: Sequence[str]) -> list[np.ndarray]:
        """Token vectors (t, d) of queries."""
        return list(self.tokens.encode_queries(list(queries)))

    def maxsim(
        self, tokens: Sequence[np.ndarray], passages: Sequence[Passage], wanted: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """MaxSim of each query's tokens with the passages at its `wanted` places: float32 arrays."""
        encoded = self.tokens.encode_passages([p.title for p in passages], [p.text for p in passages])
        return [
            maxsim(query, encoded.take(places)) if len(places) else np.empty(0, np.float32)
            for query, places in zip(tokens, wanted, strict=True)
        ]

    def token_shares(self, asked: Sequence[TokenShareRequest]) -> list[list[TokenShare]]:
        """For each request, by query token, the passage token with the largest inner product."""
        return [self._shares(one) for one in asked]

    def _shares(self, asked: TokenShareRequest) -> list[TokenShare]:
        look()
        passage, pairs = asked.passage, asked.pairs
        if pairs is None:
            pairs = best_pairs(asked.tokens, self.tokens.encode_passages([passage.title], [passage.text]))
        words = self.tokens.passage_tokens(passage.title, passage.text)
        spans = [
            whole_clusters(passage.text, word.start, word.end) if word.start >= 0 else (-1, -1)
            for word in words
        ]
        places, scores = (part.tolist() for part in pairs)
        return [
            TokenShare(token, words[place].text, spans[place][0], spans[place][1], score)
            for token, place, score in zip(self.tokens.query_tokens(asked.query), places, scores, strict=True)
        ]

    def cross_scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Cross-encoder scores of (query, passage text): float32 (n,)."""
        return self.cross_encoder.scores(pairs)

    @property
    def encoder(self) -> Encoder:
        """Queries to vectors."""
        card = (self._manifest.model, self._manifest.dense["dimension"])
        return self._get("encoder", card, self._open_encoder)

    @property
    def tokens(self) -> TokenEncoder:
        """Queries and passages to token vectors."""
        card = (self._manifest.model, self._manifest.late_interaction)
        return self._get("tokens", card, self._open_tokens)

    @property
    def cross_encoder(self) -> CrossEncoder:
        """Query and passage together to a score."""
        return self._get("cross_encoder", self._manifest.cross_encoder, self._open_cross_encoder)

    def _get(self, name: str, card: Any, open_: Callable[[], T]) -> T:
        """One of the models, which all that open this index with the same consent share."""
        if name not in self._held:
            own = (name, self._store.url, json.dumps(card, sort_keys=True), self._threads, self._trust)
            self._held[name] = LOADED.get(own, open_)
        held: T = self._held[name]
        return held

    def _open_encoder(self) -> Encoder:
        encoder = Encoder.open(self.embedding, sides={"query"}, threads=self._threads, trust=self._trust)
        dimension = self._manifest.dense["dimension"]
        if encoder.dimension != dimension:
            raise ModelError(
                f"queries have {encoder.dimension} dimensions, the index has {dimension}",
                hint="Check model.query_name.",
            )
        return encoder

    def _open_tokens(self) -> TokenEncoder:
        settings = settings_of_index(self._manifest, self._store, self._cache, self._trust)
        return open_token_encoder(settings, self.embedding, threads=self._threads, trust=self._trust)

    def _open_cross_encoder(self) -> CrossEncoder:
        found = self._manifest.cross_encoder
        settings = CrossEncoderSettings.model_validate(found.get("settings", {}))
        if settings.model is not None:
            files = tuple(self._manifest.model_files)
            card = found["model"]
            model = opened_model(settings.model, card, files, self._store, self._cache, self._trust)
            settings = settings.model_copy(update={"model": model})
        return CrossEncoder.open(settings, threads=self._threads, trust=self._trust)
