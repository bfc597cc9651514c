"""What requests and answers look like. Limits that are settings are checked where requests are taken."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from retrieval.filters import EMPTY_HINT
from retrieval.generation.context import ContextSettings
from retrieval.generation.decodings import ActiveSettings, Decode, MarginalSettings, Turn
from retrieval.rerankers import RERANKERS
from retrieval.results import QUESTION as QUERY
from retrieval.serve.errors import BadRequest
from retrieval.settings import Mode, Rerank

RERANK_METHODS = {name: one.score for name, one in RERANKERS.items() if one.score is not None}

MOST_MESSAGES = 1_000
MOST_TURNS = 32  # of a conversation that a question is read with, the latest
MOST_OF_MESSAGE = 8_000  # characters

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


class _Writing(BaseModel):
    max_tokens: StrictInt | None = Field(None, ge=1, le=8_192, description="Longest answer.")
    temperature: float | None = Field(None, ge=0, le=2, description="Randomness; 0: the likeliest answer.")
    decode: Decode | None = Field(None, description="How the answer is made from the passages.")
    hops: StrictInt | None = Field(None, ge=1, le=6, description="Most searches in a row; 1: one.")
    marginal: MarginalSettings | None = Field(None, description="Of sequence, sequence-fast and token.")
    active: ActiveSettings | None = Field(None, description="Of active.")
    context: ContextSettings | None = Field(None, description="What is read of the passages found.")

    def writing(self, stop: Any) -> dict[str, Any]:
        """Settings of the generator that the request changes."""
        stops = (stop,) if isinstance(stop, str) else None if stop is None else tuple(stop)
        found: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stop": stops,
        }
        found |= {"decode": self.decode, "hops": self.hops}
        for name in ("marginal", "active", "context"):
            group: BaseModel | None = getattr(self, name)
            found[name] = None if group is None else group.model_dump(exclude_unset=True)
        return {name: value for name, value in found.items() if value is not None}


Stops = Annotated[list[Text], Field(max_length=4)]


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="ignore")

    role: StrictStr
    content: StrictStr | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Its text, of all parts that are text."""
        if isinstance(self.content, str):
            return self.content
        parts = [part.get("text") for part in self.content or [] if part.get("type") == "text"]
        return "\n".join(text for text in parts if isinstance(text, str))


class AnswerRequest(Options, _Writing):
    """A question, alone or at the end of a conversation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"question": QUERY, "k": 5}]})

    question: Text | None = Field(None, description="Default: the last of the messages, if it is the user's.")
    messages: list[Message] = Field(
        [], max_length=MOST_MESSAGES, description="The conversation before the question, or up to it."
    )
    k: StrictInt = Field(5, ge=1, le=20, description="Passages of a search to read.")
    stream: StrictBool = Field(False, description="Answer as server-sent events.")
    stop: Stops | None = Field(None, description="Texts at which the answer ends.")


class ChatRequest(_Writing):
    """As OpenAI's. The last message of the user is the question."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"examples": [{"messages": [{"role": "user", "content": QUERY}]}]}
    )

    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    model: StrictStr = ""
    stream: StrictBool = False
    stop: Text | Stops | None = None
    max_completion_tokens: StrictInt | None = Field(None, ge=1, le=8_192)
    # OpenAI's requests have none; but one that is sent must not be ignored as other fields are.
    filter: Filter = Field(None, description="Condition on the passages, as of a search.")


@dataclass(frozen=True)
class Conversation:
    """A question, and what was said before it: the latest turns, of what user and assistant said."""

    question: str
    turns: tuple[Turn, ...] = ()


def conversation(messages: list[Message], question: str | None = None) -> Conversation:
    """The question, or the last message of the user, which nothing of the assistant's may follow.

    Raises BadRequest where there is none.
    """
    said = [Turn(one.role, one.text) for one in messages if one.role in ("user", "assistant") and one.text]
    if question is None:
        if not said or said[-1].role != "user":
            raise BadRequest(
                "no message of the role user asks anything",
                hint="Send a question, or messages whose last one is the user's.",
            )
        question = said.pop().content
    kept = tuple(Turn(one.role, one.content[:MOST_OF_MESSAGE]) for one in said[-MOST_TURNS:])
    return Conversation(question, kept)


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
