"""The interface of generators."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from retrieval.generation.prompt import Prompt


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
