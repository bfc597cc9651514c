"""The configuration file of a build: one YAML file, every key validated, every default here."""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pipelines.chunking import ChunkSettings
from pipelines.config.corpus_settings import CorpusSettings
from pipelines.config.reading import START, absolute_path, own_models, read_yaml, validated
from retrieval.dense import DenseSettings
from retrieval.plugins import all_plugin_names
from retrieval.settings import (
    CrossEncoderSettings,
    LateInteractionSettings,
    LexicalSettings,
    ModelSettings,
    SearchSettings,
    Settings,
)
from retrieval.storage import SCHEMES, check_scheme


class IndexSettings(Settings):
    """Where the index lies and how it is cut."""

    path: str = Field(min_length=1, description="Folder or URL of the index.")
    part_passages: int = Field(
        4096, ge=1, description="Most passages in a part: the unit of work, retry and resume."
    )
    shard_passages: int = Field(
        2_000_000, ge=1, description="Passages that a shard is filled to: the unit of serving."
    )
    piece_passages: int = Field(
        250_000, ge=1, description="Vectors that one task adds before pieces are merged into shards."
    )
    storage_options: dict[str, Any] = Field(
        default_factory=dict,
        description="fsspec options of the index's file system; keep secrets in the environment.",
    )


class RaySettings(Settings):
    """Where the build runs."""

    address: str | None = Field(
        None, description="Ray cluster to join; default: RAY_ADDRESS, else a local one for the build."
    )
    cpus: int | None = Field(None, ge=1, description="CPUs of a local Ray; default: all.")
    embed_workers: int | None = Field(
        None, ge=1, description="Actors that hold the encoder; default: one a GPU, else one a CPU node."
    )
    embed_cpus: int = Field(1, ge=1, description="Logical CPUs of an embedding actor.")
    embed_gpus: float | None = Field(
        None, ge=0, description="GPUs of an embedding actor; default: 1 where the cluster has GPUs, else 0."
    )
    embed_threads: int | None = Field(
        None, ge=1, description="Threads of the encoder in an actor on a CPU; default: the node's cores."
    )
    max_failed_tasks: int = Field(
        10,
        ge=0,
        description="Tasks of a stage (slices, parts, shards) that may fail before it stops early; the rest "
        "goes on until then.",
    )
    task_retries: int = Field(3, ge=0, description="Retries of a task whose worker or node died.")


class BuildConfig(Settings):
    """A build: corpus in, index out. Only `corpus.paths` and `index.path` have no default."""

    plugins: tuple[str, ...] = Field(
        (),
        description="Installed plug-ins that this build may use, by the names of their entry points. They "
        "run as you; one that is not named here is never loaded.",
    )
    corpus: CorpusSettings
    index: IndexSettings
    chunk: ChunkSettings = Field(default_factory=ChunkSettings, description="Passages.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="Encoder.")
    dense: DenseSettings = Field(default_factory=DenseSettings, description="Dense index.")
    lexical: LexicalSettings = Field(default_factory=LexicalSettings, description="Lexical index.")
    late_interaction: LateInteractionSettings = Field(
        default_factory=LateInteractionSettings, description="Late-interaction re-ranking."
    )
    cross_encoder: CrossEncoderSettings = Field(
        default_factory=CrossEncoderSettings, description="Cross-encoder re-ranking."
    )
    search: SearchSettings = Field(
        default_factory=SearchSettings, description="Stages of a search, unless a query says otherwise."
    )
    ray: RaySettings = Field(default_factory=RaySettings, description="Workers.")

    @model_validator(mode="before")
    @classmethod
    def _plugins_for_sections(cls, values: Any) -> Any:
        """The sections that name formats, methods and types are told which plug-ins are enabled."""
        plugins = values.get("plugins") if isinstance(values, dict) else None
        if not isinstance(plugins, list | tuple):
            return values
        told: dict[str, Any] = {}
        for section in ("corpus", "chunk", "dense"):
            own = values.get(section, {})
            if isinstance(own, dict):
                told[section] = {**own, "plugins": plugins}
            elif isinstance(own, BaseModel):
                told[section] = own.model_copy(update={"plugins": tuple(plugins)})
        return values | told

    @field_validator("plugins")
    @classmethod
    def _installed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        offered = all_plugin_names() if value else []
        if missing := [name for name in value if name not in offered]:
            text = f"no installed package offers {', '.join(missing)}; "
            text += f"offered are: {', '.join(offered) or 'none'}"
            raise PydanticCustomError("unknown_name", "{text}", {"text": text})
        return value

    @model_validator(mode="after")
    def _urls_of_all_workers(self) -> "BuildConfig":
        for path in self.corpus.paths:
            check_scheme(path, "corpus.paths", SCHEMES)
        check_scheme(self.index.path, "index.path", SCHEMES)
        return self


def load_config(path: str | Path) -> BuildConfig:
    """Read and validate a configuration file. Relative paths in it start at its own folder.

    Raises ConfigError that names the file, the key, and the nearest valid key or value.
    """
    path = Path(path)
    found = validate(read_yaml(path, START, "It needs corpus.paths and index.path at least."), str(path))
    return _relative_to(found, path.resolve().parent)


def validate(values: dict[str, Any], where: str) -> BuildConfig:
    """Values as a configuration; raises ConfigError that names every wrong key."""
    return validated(BuildConfig, values, where)


def _relative_to(config: BuildConfig, folder: Path) -> BuildConfig:
    absolute, own_folder = partial(absolute_path, folder), partial(own_models, folder)
    update: dict[str, Any] = {
        "corpus": config.corpus.model_copy(
            update={"paths": [absolute(path) for path in config.corpus.paths]}
        ),
        "index": config.index.model_copy(update={"path": absolute(config.index.path)}),
        "model": own_folder(config.model),
    }
    for section in ("late_interaction", "cross_encoder"):
        settings = getattr(config, section)
        if settings.model is not None:
            update[section] = settings.model_copy(update={"model": own_folder(settings.model)})
    if config.dense.query_file:
        update["dense"] = config.dense.model_copy(update={"query_file": absolute(config.dense.query_file)})
    return config.model_copy(update=update)
