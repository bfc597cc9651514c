"""The interface of generators, and the one that the settings name."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from retrieval.errors import ConfigError
from retrieval.generation.prompt import Prompt
from retrieval.generation.settings import GenerationSettings


class Generator(Protocol):
    """What writes answers. `name` is shown with them."""

    name: str

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in this model, or rather too many where its tokenizer is elsewhere."""

    def stream(
        self, prompt: Prompt, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> AsyncGenerator[str, None]:
        """The answer, piece by piece, without the stop text that ended it.

        Closing the iterator, or cancelling the task that reads it, ends the work within 2 seconds and frees
        its slot. Raises GenerationError and ConfigError.
        """


def open_generator(settings: GenerationSettings, *, threads: int | None = None) -> Generator | None:
    """The configured generator, loaded; None for kind none. `threads` bounds torch's on a CPU.

    Raises ModelError where a local model cannot be loaded, ConfigError for vllm, which Ray Serve runs.
    """
    if settings.kind == "none":
        return None
    if settings.kind == "local":
        from retrieval.generation.generators.local import (
            LocalGenerator,  # torch and transformers take seconds
        )

        return LocalGenerator.open(settings.model, concurrent=settings.concurrent, threads=threads)
    if settings.kind == "openai":
        from retrieval.generation.generators.endpoint import OpenAIGenerator

        return OpenAIGenerator(settings)
    raise ConfigError(
        "the generator vllm runs inside the service alone",
        hint="Start `corpusmill serve`, or choose the generator local or openai.",
    )
