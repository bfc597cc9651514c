"""The generator that the settings name."""

from retrieval.generation.generators import Generator
from retrieval.generation.settings import GenerationSettings


def open_generator(settings: GenerationSettings, *, threads: int | None = None) -> Generator | None:
    """The configured generator, loaded; None where passages answer for themselves. `threads` bounds torch's.

    Raises ModelError where a local model cannot be loaded, ConfigError for vllm, which Ray Serve runs.
    """
    open_ = settings.of.open
    return None if open_ is None else open_(settings, threads)
