"""What every worker of a build needs to know, and the names of what it makes."""

import os
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.config.build_settings import BuildConfig
from pipelines.config.corpus_settings import MetadataType
from pipelines.config.trust import configured_trust
from retrieval.errors import ModelError, StorageError
from retrieval.models import model_card, use_files
from retrieval.settings import ModelSettings, fingerprint
from retrieval.storage import FileRecord, Store

PARTS_CODE = 3  # raised when the code changes what a part holds; likewise below
VECTORS_CODE = 1
DENSE_CODE = 1
PASSAGES_CODE = 1
LEXICAL_CODE = 1


@dataclass(frozen=True)
class Context:
    """Settings, storage and fingerprints of one build; sent to every worker."""

    config: BuildConfig
    store: Store
    metadata: dict[str, MetadataType]
    model_card: dict[str, Any]
    model_files: tuple[FileRecord, ...] = ()
    late_card: dict[str, Any] = field(default_factory=dict)  # of the model of token vectors
    formats: dict[str, Any] = field(default_factory=dict)  # what counts of the document formats, if anything

    @property
    def chunks_by_model(self) -> bool:
        """Whether passages depend on the model: its tokenizer measures them, or it compares sentences."""
        chunk = self.config.chunk
        measures = chunk.unit == "tokens" or chunk.size is None
        method = chunk.chosen
        return method.compares_sentences or (method.counts_units and measures)

    @property
    def parts_fingerprint(self) -> str:
        """Names what the passages depend on. A tokenizer counts only where it does the measuring."""
        corpus, chunk = self.config.corpus, self.config.chunk
        return fingerprint(
            PARTS_CODE,
            corpus.fingerprint_values(
                leave_out={
                    "paths",
                    "follow_links",
                    "storage_options",
                    "max_reject_share",
                    "duplicates",
                    "slice_bytes",
                }
            ),
            self.metadata,
            chunk.fingerprint_values(),
            self.config.index.part_passages,
            self._passage_model if self.chunks_by_model else None,
            *([self.formats] if self.formats else []),
        )

    @property
    def vectors_fingerprint(self) -> str:
        """Names what a part's vectors depend on beside its titles and texts."""
        values = self.config.model.fingerprint_values(
            leave_out={"name", "query_name", "query_prompt", "device", "revision"}
        )
        return fingerprint(VECTORS_CODE, self._passage_model, values)

    @property
    def _passage_model(self) -> list[Any]:
        model = self.config.model
        return [self.model_card["passage"]["fingerprint"], model.max_tokens, model.passage_prompt]

    def model(self, cache: Path) -> ModelSettings:
        """The model's settings, with the index's own copy of its files where the index has one.

        Raises ModelError where this machine has other files under the model's name than the driver.
        """
        settings = use_files(self.config.model, self.model_card, self.model_files, self.store, cache)
        here = model_card(settings, configured_trust(self.config.model))
        for side in ("passage", "query"):
            if here[side]["fingerprint"] != self.model_card[side]["fingerprint"]:
                raise ModelError(
                    f"{socket.gethostname()} has another model {here[side]['name']} than the builder",
                    hint="Set model.revision, or install the same model on all nodes.",
                )
        return settings


def worker_cache() -> Path:
    """A folder of this machine for what workers of one user fetch and keep, such as models."""
    path = Path(tempfile.gettempdir()) / f"corpusmill-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise StorageError(f"{path} belongs to another user", hint="Remove it, or set TMPDIR.")
    return path
