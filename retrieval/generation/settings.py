"""Settings of answers: which generator writes them, how much it reads, and when there is no answer."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, create_model, model_validator

from retrieval.errors import ConfigError
from retrieval.generation.context import ContextSettings
from retrieval.generation.decodings import LINES, ActiveSettings, Decode, MarginalSettings
from retrieval.generation.kinds import KINDS, GeneratorSettings, Kind


def _models() -> str:
    """What `model` is for each kind; those that say the same are told of together."""
    kinds: dict[str, list[str]] = {}
    for kind in KINDS.values():
        if kind.model:
            kinds.setdefault(kind.model, []).append(kind.name)
    return " ".join(f"{', '.join(names)}: {model}." for model, names in kinds.items())


class _Common(GeneratorSettings):
    model: str | None = Field(None, description=_models())


if TYPE_CHECKING:
    KindName = str
    _OfKinds = _Common
else:  # each kind declares its own settings
    KindName = Literal[tuple(KINDS)]
    _bases = dict.fromkeys([kind.settings for kind in KINDS.values() if kind.own])
    _OfKinds = create_model("_OfKinds", __base__=(_Common, *_bases))


class GenerationSettings(_OfKinds):
    """The generator, and what an answer is made with. A key is never part of it, only where to find it."""

    kind: KindName = Field(
        "none", description=" ".join(f"{name}: {kind.line}." for name, kind in KINDS.items())
    )

    decode: Decode = Field("prompt", description=" ".join(f"{name}: {line}." for name, line in LINES.items()))
    hops: int = Field(
        1, ge=1, le=6, description="Most searches in a row for a question of several hops; 1: its own alone."
    )
    conversation_tokens: int = Field(
        512,
        ge=64,
        le=32_768,
        description="Most tokens of earlier messages that a question is read with.",
    )
    marginal: MarginalSettings = Field(
        default_factory=MarginalSettings, description="Of decode: sequence, sequence-fast and token."
    )
    active: ActiveSettings = Field(default_factory=ActiveSettings, description="Of decode: active.")

    context: ContextSettings = Field(
        default_factory=ContextSettings, description="What is read of the passages found."
    )

    @property
    def of(self) -> Kind:
        """The chosen kind."""
        return KINDS[self.kind]

    def changed(self, asked: dict[str, Any]) -> "GenerationSettings":
        """With what a request asks; groups of settings change by their own. Raises ConfigError."""
        values = self.model_dump()
        for name, value in asked.items():
            own = values.get(name)
            values[name] = {**own, **value} if isinstance(own, dict) and isinstance(value, dict) else value
        try:
            return GenerationSettings.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"]) or "generation"
            raise ConfigError(f"{place}: {first['msg']}") from error

    @model_validator(mode="after")
    def _complete(self) -> "GenerationSettings":
        needs = self.of.needs
        if not all(getattr(self, name) for name in needs):
            raise ValueError(f"kind {self.kind} needs {' and '.join(f'`{name}`' for name in needs)}")
        if self.decode not in self.of.decodes:
            able = [name for name, kind in KINDS.items() if self.decode in kind.decodes]
            raise ValueError(
                f"decode {self.decode} cannot be done by the generator {self.kind}, but by {', '.join(able)}"
            )
        return self
