"""vLLM on GPUs, an engine that the service runs; see `serve.distributed`."""

from typing import TYPE_CHECKING

from retrieval.errors import ConfigError
from retrieval.generation.kinds.kind import GeneratorSettings, Kind

if TYPE_CHECKING:
    from retrieval.generation.generators import Generator


def open_vllm(settings: GeneratorSettings, threads: int | None) -> "Generator":
    """Raises ConfigError: outside the service there is no engine."""
    raise ConfigError(
        "the generator vllm runs inside the service alone",
        hint="Start `corpusmill serve`, or choose the generator local or openai.",
    )


VLLM = Kind(
    "vllm", "on GPUs, through Ray Serve", open_vllm, model="the model's name there", needs=("model",),
    engine=True,
)  # fmt: skip
