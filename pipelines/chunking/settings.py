"""Settings of chunking: those that methods share, and those that a method has of its own."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, create_model, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from pipelines.chunking.method import ChunkMethod
from pipelines.chunking.registry import METHODS, chunk_method
from retrieval.errors import ConfigError
from retrieval.settings import Artefact, Settings
from retrieval.storage import first_error


def _of_each_method(schema: dict[str, Any]) -> None:
    schema |= METHODS.schema({name: chunk_method(name).summary for name in METHODS.built_in()}, {})
    schema.pop("type")


class _Shared(Settings):
    plugins: SkipJsonSchema[tuple[str, ...]] = Field((), exclude=True)  # of the whole build
    method: str = Field("recursive", description="Chunking method.", json_schema_extra=_of_each_method)
    unit: Literal["tokens", "characters"] = Field("tokens", description="What `size` and `overlap` count.")
    size: int | None = Field(
        None,
        ge=8,
        description="Most units in a passage, title and prompt included; default: the model's window, or "
        "four times as many characters.",
    )
    overlap: int = Field(0, ge=0, description="Units that a passage shares with the one before it.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of a method that is a plug-in, as its own page says."
    )

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str, info: ValidationInfo) -> str:
        return METHODS.check(value, info.data.get("plugins", ()))


def _own_fields(name: str) -> dict[str, str]:
    """The settings of a method of this package: its own name of each, and that in a configuration."""
    return {field: f"{name}_{field}" for field in chunk_method(name).options.model_fields}


if TYPE_CHECKING:
    _WithMethods = _Shared
else:  # each method declares its own settings
    _fields = {
        shown: (chunk_method(name).options.model_fields[field].annotation,
                chunk_method(name).options.model_fields[field])
        for name in METHODS.built_in()
        for field, shown in _own_fields(name).items()
    }  # fmt: skip
    _WithMethods = create_model("_WithMethods", __base__=_Shared, **_fields)


class ChunkSettings(_WithMethods):
    """How documents are cut into passages."""

    @model_validator(mode="after")
    def _options_are_of_the_method(self) -> "ChunkSettings":
        if self.options and self.method in METHODS.built_in():
            raise ValueError(f"options are of methods that are plug-ins, and method is {self.method}")
        self.own()
        return self

    @property
    def chosen(self) -> ChunkMethod:
        """The method. Raises ConfigError where it is a plug-in that cannot be loaded."""
        return chunk_method(self.method, self.plugins)

    def own(self) -> Any:
        """The chosen method's own settings. Raises ConfigError."""
        method, values = self.chosen, self.options
        if self.method in METHODS.built_in():
            values = {field: getattr(self, shown) for field, shown in _own_fields(self.method).items()}
        try:
            return method.options.model_validate(values)
        except ValidationError as error:
            raise ConfigError(
                f"chunk.options: {first_error(error)}",
                hint=f"Settings of {self.method}: {', '.join(method.options.model_fields) or 'none'}",
            ) from error

    def fingerprint_values(self, artefact: Artefact) -> dict[str, Any]:
        """What passages depend on: the shared settings and the method's own, and its code but the first."""
        others = {
            shown
            for name in METHODS.built_in()
            if name != self.method and not chunk_method(name).always_counts
            for shown in _own_fields(name).values()
        }
        every = super().fingerprint_values(artefact)
        values = {name: value for name, value in every.items() if name not in {*others, "options"}}
        if self.method not in METHODS.built_in():
            values["options"] = self.own().fingerprint_values(artefact)
        return values | ({"code": self.chosen.code} if self.chosen.code > 1 else {})
