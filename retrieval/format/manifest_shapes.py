"""What the parts of a manifest that are plain JSON have to look like: checked when one is made and read."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from retrieval.format.dense_spec import spec_model
from retrieval.settings import (
    CrossEncoderSettings,
    LateInteractionSettings,
    LexicalSettings,
    ModelSettings,
    SearchSettings,
)
from retrieval.storage import Count, Shape, first_error

Amount = Annotated[float, Field(ge=0)]
MetadataKind = Literal[
    "string", "integer", "float", "boolean", "date", "datetime",
    "list[string]", "list[integer]", "list[float]", "list[boolean]", "list[date]",
    "list[datetime]",
]  # fmt: skip


def like(shape: type[BaseModel], *, or_empty: bool = False) -> AfterValidator:
    """A plain dictionary stays one, but has to be what `shape` validates, without conversions."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        return _checked(shape, value) if value or not or_empty else value

    return AfterValidator(check)


def _checked(shape: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    try:
        shape.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise ValueError(first_error(error)) from error
    return value


def _dense(value: dict[str, Any]) -> dict[str, Any]:
    return _checked(spec_model(value), value)


class _Model(Shape):
    name: str
    revision: str | None
    fingerprint: str


class _Models(Shape):
    passage: _Model
    query: _Model


class _Embedding(_Models):
    encoder: dict[str, Any]
    settings: ModelSettings


class _Training(Shape):
    fingerprint: str
    id: str
    settings: dict[str, Any]
    vectors_fingerprint: str
    rows: Count


class _Lexical(Shape):
    analysis: Count
    settings: LexicalSettings
    documents: Count
    average_length: Amount
    terms: Count


class _Codec(Shape):
    fingerprint: str
    id: str
    values: list[Any]
    rows: Count
    tokens: Count


class _LateInteraction(Shape):
    settings: LateInteractionSettings
    model: _Models
    codec: _Codec | None = None


class _CrossEncoder(Shape):
    settings: CrossEncoderSettings
    model: _Models | None = None

    @model_validator(mode="after")
    def _named(self) -> "_CrossEncoder":
        if self.settings.model is not None and self.model is None:
            raise ValueError("the model of the settings has no fingerprint")
        return self


class _Chosen(Shape):
    """Search parameters, all of them said."""

    nprobe: Count
    shortlist: Count
    ef_search: Count
    depth: Count


class _RecallRow(Shape):
    recall: Annotated[float, Field(ge=0, le=1)]


class _Recall(Shape):
    queries: str
    k: Count
    target: Amount
    chosen: _Chosen
    table: list[_RecallRow]


class _Fusing(Shape):
    """Whether the build fitted the weights of the fusion, and why."""

    fitted: bool
    reason: str


Dense = Annotated[dict[str, Any], AfterValidator(_dense)]  # its type checks the rest when it is opened
Embedding = Annotated[dict[str, Any], like(_Embedding)]
Training = Annotated[dict[str, Any], like(_Training)]
Lexical = Annotated[dict[str, Any], like(_Lexical, or_empty=True)]
LateInteraction = Annotated[dict[str, Any], like(_LateInteraction, or_empty=True)]
CrossEncoding = Annotated[dict[str, Any], like(_CrossEncoder, or_empty=True)]
Searching = Annotated[dict[str, Any], like(SearchSettings)]
Fusing = Annotated[dict[str, Any], like(_Fusing, or_empty=True)]
Recall = Annotated[dict[str, Any], like(_Recall)]
