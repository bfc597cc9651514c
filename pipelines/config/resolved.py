"""What a configuration comes to at the door of a build: plain values that stages, and workers, take by name.

`planning` makes them, once it has looked at the models and the input.
"""

import os
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.chunking import ChunkSettings
from pipelines.config.corpus_settings import CorpusSettings, MetadataType
from pipelines.config.trust import configured_trust
from retrieval.dense import DenseSettings
from retrieval.errors import ModelError, StorageError
from retrieval.models import Trust, model_card, use_files
from retrieval.settings import LateInteractionSettings, LexicalSettings, ModelSettings
from retrieval.storage import FileRecord, Store


@dataclass(frozen=True)
class LocatedModel:
    """An encoder, or a pair of them, as the driver has found and checked it.

    `card`: names, revisions and fingerprints by side. `files`: the index's own copies, none of a packaged
    model.
    """

    settings: ModelSettings
    card: dict[str, Any]
    store: Store
    files: tuple[FileRecord, ...] = ()

    @property
    def trust(self) -> Trust:
        """What the configuration lets the model do."""
        return configured_trust(self.settings)

    @property
    def passage_fingerprint(self) -> str:
        """Of the files that embed passages."""
        return str(self.card["passage"]["fingerprint"])

    def here(self) -> ModelSettings:
        """The settings on this machine, with the index's own copy of the files where the index has one.

        Raises ModelError where this machine has other files under the model's name than the driver.
        """
        settings = use_files(self.settings, self.card, self.files, self.store, worker_cache())
        here = model_card(settings, self.trust)
        for side in ("passage", "query"):
            if here[side]["fingerprint"] != self.card[side]["fingerprint"]:
                raise ModelError(
                    f"{socket.gethostname()} has another model {here[side]['name']} than the builder",
                    hint="Set model.revision, or install the same model on all nodes.",
                )
        return settings


@dataclass(frozen=True)
class PassageSpec:
    """How documents become passages. `model`: whose tokenizer, or sentences, they depend on, if any."""

    store: Store
    corpus: CorpusSettings
    metadata: dict[str, MetadataType]
    chunk: ChunkSettings
    part_passages: int
    model: LocatedModel | None
    fingerprint: str

    @property
    def folder(self) -> str:
        """Where the parts lie."""
        return f"parts/{self.fingerprint}"


@dataclass(frozen=True)
class VectorSpec:
    """How passages become vectors. `dimension`: None where the model's files do not say."""

    store: Store
    model: LocatedModel
    dimension: int | None
    fingerprint: str

    @property
    def folder(self) -> str:
        """Where the vectors lie."""
        return f"vectors/{self.fingerprint}"


@dataclass(frozen=True)
class TokenCodeSpec:
    """How passages become token vectors and these become codes. `model` is the one that is configured."""

    store: Store
    settings: LateInteractionSettings
    model: LocatedModel
    retrain_growth: float

    @property
    def encoder_values(self) -> list[Any]:
        """What the token vectors of a part depend on beside its titles and texts, as JSON."""
        return [self.model.passage_fingerprint, self.model.settings.fingerprint_values("vectors")]


@dataclass(frozen=True)
class ResolvedBuild:
    """Everything that the stages of one build go by."""

    store: Store
    passages: PassageSpec
    vectors: VectorSpec
    token_codes: TokenCodeSpec
    cross_encoder: LocatedModel | None  # None: the packaged one
    lexical: LexicalSettings
    dense: DenseSettings
    shard_passages: int
    piece_passages: int

    @property
    def models(self) -> list[LocatedModel]:
        """The models that the configuration names, each of which the index gets a copy of."""
        late = self.token_codes.model if self.token_codes.settings.model is not None else None
        return [model for model in (self.vectors.model, late, self.cross_encoder) if model is not None]

    def with_model_files(self, files: tuple[FileRecord, ...]) -> "ResolvedBuild":
        """The same once the index has copies of its models."""
        model = replace(self.vectors.model, files=files)
        return replace(
            self,
            passages=replace(self.passages, model=self.passages.model and model),
            vectors=replace(self.vectors, model=model),
            token_codes=replace(self.token_codes, model=replace(self.token_codes.model, files=files)),
        )


def worker_cache() -> Path:
    """A folder of this machine for what workers of one user fetch and keep, such as models."""
    path = Path(tempfile.gettempdir()) / f"corpusmill-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise StorageError(f"{path} belongs to another user", hint="Remove it, or set TMPDIR.")
    return path
