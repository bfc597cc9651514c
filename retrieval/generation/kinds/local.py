"""A Hugging Face model in this process."""

from typing import TYPE_CHECKING

from pydantic import Field

from retrieval.generation.kinds.kind import GeneratorSettings, Kind

if TYPE_CHECKING:
    from retrieval.generation.generators import Generator


class LocalSettings(GeneratorSettings):
    """Of a model in this process."""

    concurrent: int = Field(
        1, ge=1, le=64, description="local: answers written at once; further ones wait for their turn."
    )


def open_local(settings: LocalSettings, threads: int | None) -> "Generator":
    """Load the model. Raises ModelError."""
    from retrieval.generation.generators import LocalGenerator  # torch and transformers take seconds

    return LocalGenerator.open(settings.model, concurrent=settings.concurrent, threads=threads)


LOCAL = Kind(
    "local", "a Hugging Face model in this process", open_local,
    model="a folder's path, a Hugging Face name, `gemma-3-270m` (the default, of the extra `local-llm`) or "
    "`smollm2-135m-instruct` (of the extra `smollm2`)",
    settings=LocalSettings, decodes=("prompt", "sequence", "sequence-fast", "token", "active"),
)  # fmt: skip
