"""Settings of answers: which generator writes them, how much it reads, and when there is no answer."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, create_model, model_validator

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

    @property
    def of(self) -> Kind:
        """The chosen kind."""
        return KINDS[self.kind]

    @model_validator(mode="after")
    def _complete(self) -> "GenerationSettings":
        needs = self.of.needs
        if not all(getattr(self, name) for name in needs):
            raise ValueError(f"kind {self.kind} needs {' and '.join(f'`{name}`' for name in needs)}")
        return self
