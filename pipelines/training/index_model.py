"""The index of a training: its manifest, and its encoder as this machine may open it."""

from pipelines.training.settings import TrainConfig
from retrieval.format import Manifest, read_manifest
from retrieval.search import Models
from retrieval.settings import ModelSettings
from retrieval.storage import Store, default_cache


def index_model(config: TrainConfig) -> tuple[Manifest, ModelSettings]:
    """Manifest and encoder of the configured version. Raises CorpusmillError."""
    index = Store(config.index.path, config.index.storage_options)
    manifest = read_manifest(index, config.index.version)
    return manifest, Models(index, manifest, default_cache(index), None).embedding
