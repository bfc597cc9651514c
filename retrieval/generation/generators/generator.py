"""The interface of generators."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from retrieval.generation.generators.written import Draft, Marginal, MarginalRequest
from retrieval.generation.prompt import Prompt


class Generator(Protocol):
    """What writes answers. `name` is shown with them; `chats`: it follows instructions, in messages."""

    name: str
    chats: bool

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in this model, or rather too many where its tokenizer is elsewhere."""

    def stream(
        self, prompt: Prompt, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> AsyncGenerator[str, None]:
        """The answer, piece by piece, without the stop text that ended it.

        Closing the iterator, or cancelling the task that reads it, ends the work within 2 seconds and frees
        its slot. Raises GenerationError and ConfigError.
        """


@runtime_checkable
class Drafting(Protocol):
    """A generator that tells how likely its words are: what `decode: active` needs."""

    async def draft(
        self, prompt: Prompt, written: str, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> Draft:
        """The next sentence after what is written of the answer. Ends and raises as `stream`."""


@runtime_checkable
class Marginalizing(Protocol):
    """A generator whose distributions can be mixed: what sequence, sequence-fast and token need."""

    def marginal(
        self, prompts: Sequence[Prompt], request: MarginalRequest
    ) -> AsyncGenerator[str | Marginal, None]:
        """The answer over several passages, a prompt for each: its text as by `stream`, then the whole."""
