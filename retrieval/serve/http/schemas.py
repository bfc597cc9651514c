"""What requests and answers look like. Limits that are settings are checked where requests are taken."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from retrieval.filters import EMPTY_HINT
from retrieval.rerankers import RERANKERS
from retrieval.results import QUESTION as QUERY
from retrieval.settings import Mode, Rerank

RERANK_METHODS = {name: one.score for name, one in RERANKERS.items() if one.score is not None}

Text = Annotated[StrictStr, Field(min_length=1)]


def _not_empty(filter: Any) -> Any:
    if filter is not None and not filter:
        raise PydanticCustomError("empty_filter", "it is empty. " + EMPTY_HINT)
    return filter


Filter = Annotated[StrictStr | dict[str, Any] | None, BeforeValidator(_not_empty)]


def _shown(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(examples)})


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Options(_Request):
    """How to search; what is null is as the index's configuration says."""

    k: StrictInt = Field(10, ge=1, description="Passages to return.")
    mode: Mode | None = Field(None, description="First stage.")
    rerank: Rerank | None = Field(None, description="Second stage.")
    filter: Filter = Field(
        None,
        description="Condition on metadata or document fields; null, and nothing else, is everything.",
        examples=['lang = "en" and year >= 2019'],
    )
    per_document: StrictInt | None = Field(None, ge=1, description="Most passages of one document.")
    explain: StrictBool = Field(False, description="Tell why each passage was found.")
    require_full: StrictBool = Field(False, description="Answer 503 rather than from a part of the index.")
    timeout_ms: StrictInt | None = Field(None, ge=1, le=3_600_000, description="Give up after so long.")

    def asked(self) -> dict[str, Any]:
        """Arguments of QueryPath.batch."""
        return {
            "k": self.k, "mode": self.mode, "rerank": self.rerank, "filter": self.filter,
            "per_document": self.per_document, "explain": self.explain,
        }  # fmt: skip


class SearchRequest(Options):
    """One query."""

    model_config = _shown({"query": QUERY, "k": 5, "mode": "hybrid", "filter": "year >= 2019"})

    query: Text


class BatchRequest(Options):
    """Several queries, searched together."""

    model_config = _shown({"queries": [QUERY, "north quay"], "k": 3})

    queries: list[Text] = Field(min_length=1)


class Candidate(_Request):
    """A text to re-rank."""

    title: StrictStr = ""
    text: Text


class RerankRequest(_Request):
    """Texts that do not need to be in the index."""

    model_config = _shown({
        "query": QUERY, "passages": [{"text": "Bread rises."}, {"title": "Tides", "text": "The Moon pulls."}],
    })  # fmt: skip

    query: Text
    passages: list[Candidate] = Field(min_length=1)
    method: Annotated[str, Field(pattern=f"^({'|'.join(RERANK_METHODS)})$")] = "late-interaction"
    k: StrictInt | None = Field(None, ge=1, description="Best ones to return; default: all.")
    timeout_ms: StrictInt | None = Field(None, ge=1, le=3_600_000)


class EmbeddingsRequest(BaseModel):
    """As OpenAI's."""

    model_config = ConfigDict(  # clients send fields that mean nothing here
        extra="ignore", json_schema_extra={"examples": [{"input": ["spring tides"], "model": "corpusmill"}]}
    )

    input: Text | Annotated[list[Text], Field(min_length=1)]
    model: StrictStr = ""
    encoding_format: Annotated[str, Field(pattern="^(float|base64)$")] = "float"
    timeout_ms: StrictInt | None = Field(None, ge=1, le=3_600_000, description="Give up after so long.")


class ErrorModel(BaseModel):
    """What was wrong and what to do."""

    type: str
    message: str
    hint: str
    request_id: str


class ErrorResponse(BaseModel):
    """Every answer that is no success."""

    error: ErrorModel
