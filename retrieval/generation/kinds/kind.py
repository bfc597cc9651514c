"""What a kind of generator declares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from retrieval.settings import Settings

if TYPE_CHECKING:  # a command line that asks for help opens none
    from retrieval.generation.generators import Generator


class GeneratorSettings(Settings):
    """Settings that every kind has; those of one extend them."""

    kind: str = "none"
    model: str | None = None
    max_tokens: int = Field(128, ge=1, le=8_192, description="Longest answer in the generator's tokens.")
    temperature: float = Field(
        0.0, ge=0, le=2, description="Randomness of the answer; 0: always the likeliest."
    )
    stop: tuple[str, ...] = Field(
        (), max_length=4, description="Texts at which an answer ends; they are not part of it."
    )
    context_tokens: int = Field(
        1_024, ge=64, le=131_072, description="Most tokens of passages in the prompt, by rank."
    )
    timeout_s: float = Field(
        60.0, gt=0, le=3_600, description="Seconds until an unfinished answer is given up."
    )
    support_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Least support for an answer to be given; default: as calibrated. 0: always answer.",
    )

    @field_validator("stop")
    @classmethod
    def _stops_say_something(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text for text in stop):
            raise ValueError("a stop text is empty: every answer would end at once")
        return stop


@dataclass(frozen=True)
class Kind:
    """A kind of generator.

    `name`: as `generation.kind` has it. `line`: what it is, for the reference. `open`: the generator of some
    settings, with a number of threads, or None for the machine's; None: passages answer for themselves.
    `model`: what `generation.model` is for it; `settings`: its own ones; `needs`: those that must be set.
    `engine`: an engine of the service writes the answers, so that `open` tells who asks elsewhere.
    `decodes`: the ways that it can write an answer in.
    """

    name: str
    line: str
    open: "Callable[[Any, int | None], Generator] | None"
    model: str = ""
    settings: type[GeneratorSettings] = GeneratorSettings
    needs: tuple[str, ...] = ()
    engine: bool = False
    decodes: tuple[str, ...] = ("prompt",)

    @property
    def own(self) -> tuple[str, ...]:
        """Names of its own settings."""
        return tuple(
            name for name in self.settings.model_fields if name not in GeneratorSettings.model_fields
        )
