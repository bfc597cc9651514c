"""Answers with citations, plain, streamed, and in OpenAI's shape."""

import math
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from starlette.responses import Response, StreamingResponse

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError
from retrieval.results import ANSWER, Answer
from retrieval.results import QUESTION as QUERY
from retrieval.serve.errors import BadRequest, error_body, public_name, unexpected
from retrieval.serve.http.disconnects import unless_left
from retrieval.serve.http.examples import CHAT, responses
from retrieval.serve.http.guard import json_response, to_json
from retrieval.serve.http.requests import DOCUMENTED, allow, check_options, check_text, seconds_of
from retrieval.serve.http.schemas import Filter, Options, Text
from retrieval.serve.logs import log
from retrieval.serve.runtime import Service

router = APIRouter(prefix="/v1", responses=DOCUMENTED, redirect_slashes=False)
Event = tuple[str, dict[str, Any]]
Events = AsyncGenerator[Event, None]


class _Writing(BaseModel):
    max_tokens: StrictInt | None = Field(None, ge=1, le=8_192, description="Longest answer.")
    temperature: float | None = Field(None, ge=0, le=2, description="Randomness; 0: the likeliest answer.")

    def writing(self, stop: Any) -> dict[str, Any]:
        """Settings of the generator that the request changes."""
        stops = (stop,) if isinstance(stop, str) else None if stop is None else tuple(stop)
        found = {"max_tokens": self.max_tokens, "temperature": self.temperature, "stop": stops}
        return {name: value for name, value in found.items() if value is not None}


Stops = Annotated[list[Text], Field(max_length=4)]


class AnswerRequest(Options, _Writing):
    """A question."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"question": QUERY, "k": 5}]})

    question: Text
    k: StrictInt = Field(5, ge=1, le=20, description="Passages to read.")
    stream: StrictBool = Field(False, description="Answer as server-sent events.")
    stop: Stops | None = Field(None, description="Texts at which the answer ends.")


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="ignore")

    role: StrictStr
    content: StrictStr | list[dict[str, Any]] | None = None


class ChatRequest(_Writing):
    """As OpenAI's. The last message of the user is the question."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"examples": [{"messages": [{"role": "user", "content": QUERY}]}]}
    )

    messages: list[Message] = Field(min_length=1)
    model: StrictStr = ""
    stream: StrictBool = False
    stop: Text | Stops | None = None
    max_completion_tokens: StrictInt | None = Field(None, ge=1, le=8_192)
    # OpenAI's requests have none; but one that is sent must not be ignored as other fields are.
    filter: Filter = Field(None, description="Condition on the passages, as of a search.")

    def question(self) -> str:
        """Raises BadRequest where no message is the user's."""
        for message in reversed(self.messages):
            if message.role == "user":
                if isinstance(message.content, str):
                    return message.content
                parts = [part.get("text") for part in message.content or [] if part.get("type") == "text"]
                return "\n".join(text for text in parts if isinstance(text, str))
        raise BadRequest("no message has the role user", hint="The last one is taken as the question.")


@router.post(
    "/answer", response_model=Answer, responses=responses(ANSWER.as_json(), streamed=True),
    summary="Answer a question from the passages found",
)  # fmt: skip
async def answer(request: Request, asked: AnswerRequest) -> Response:
    """An answer with its citations; as events `passages`, `token`, `answer` or `error` where streamed."""
    service = allow(request, "search")
    check_options(service, asked)
    check_text(service, [asked.question])
    events = answered(service, asked.question, asked, asked.writing(asked.stop))
    if asked.stream:
        first = await _first(request, events)
        return _streamed(_as_events(request, first, events))
    return json_response(await unless_left(request, _last(events)))


@router.post(
    "/chat/completions", responses=responses(CHAT, streamed=True), summary="The same in OpenAI's shape"
)
async def chat(request: Request, asked: ChatRequest) -> Response:
    """An answer to the last message of the user; `citations` are a field of their own."""
    service = allow(request, "search")
    question = asked.question()
    options = Options(k=5, filter=asked.filter)
    check_options(service, options)
    check_text(service, [question])
    writing = asked.writing(asked.stop)
    if asked.max_completion_tokens is not None:
        writing["max_tokens"] = asked.max_completion_tokens
    base: dict[str, Any] = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
    base["model"] = asked.model or "corpusmill"
    events = answered(service, question, options, writing)
    if asked.stream:
        first = await _first(request, events)
        return _streamed(_as_chunks(request, base, first, events))
    found = await unless_left(request, _last(events))
    choice = {
        "index": 0, "message": {"role": "assistant", "content": found["answer"]}, "finish_reason": "stop",
        "logprobs": None,
    }  # fmt: skip
    used, written = 1 + len(question) // 4, found["tokens"] or 1 + len(found["answer"]) // 4  # about
    usage = {"prompt_tokens": used, "completion_tokens": written, "total_tokens": used + written}
    return json_response({
        **base, "object": "chat.completion", "choices": [choice], "usage": usage,
        "citations": found["citations"], "corpusmill": found,
    })  # fmt: skip


async def answered(service: Service, question: str, asked: Options, writing: dict[str, Any]) -> Events:
    """Search, then the answer: events `passages`, `token` and `answer`. Counts as under way until closed."""
    start = time.perf_counter()
    options = {"require_full": asked.require_full, **asked.asked()}
    whole = Deadline.after(min(service.settings.longest_s, seconds_of(asked.timeout_ms) or math.inf))
    results = await service.run(lambda deadline: service.search([question], deadline, **options), whole=whole)
    result = results[0]
    values = result.as_json()
    with service.admission.turn():
        async with aclosing(service.answers.stream(result, writing, whole)) as deltas:
            await anext(deltas)  # a place to write: whoever gets none is told by the status
            yield "passages", {name: values[name] for name in ("version", "coverage", "hits")}
            async for delta in deltas:
                if isinstance(delta, Answer):
                    service.metrics.wrote(delta)
                    total = round(1000 * (time.perf_counter() - start), 3)
                    timings = {**delta.timings_ms, "total": total}
                    told = replace(delta, generator=public_name(delta.generator), timings_ms=timings)
                    yield "answer", told.as_json()
                else:
                    yield "token", {"text": delta}


async def _first(request: Request, events: Events) -> Event:
    """The first event: what cannot be searched, or in time, has a status of its own."""
    return await unless_left(request, anext(events))


async def _last(events: Events) -> dict[str, Any]:
    """The value of the last event, which is the answer."""
    async with aclosing(events):
        return [value async for _, value in events][-1]


def _streamed(events: AsyncGenerator[bytes, None]) -> Response:
    return StreamingResponse(
        events,
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _as_events(request: Request, first: Event, rest: Events) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield _event(*first)
        try:
            async for event in rest:
                yield _event(*event)
        except Exception as error:  # the status is sent already
            yield _event("error", {"error": _told(error, request.state.request_id)})


async def _as_chunks(
    request: Request, base: dict[str, Any], _first: Event, rest: Events
) -> AsyncGenerator[bytes, None]:
    def chunk(delta: dict[str, Any], finish: str | None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        value = {**base, "object": "chat.completion.chunk", "choices": [choice], **more}
        return b"data: " + to_json(value) + b"\n\n"

    async with aclosing(rest):
        yield chunk({"role": "assistant", "content": ""}, None)
        try:
            async for name, value in rest:
                if name == "token":
                    yield chunk({"content": value["text"]}, None)
                else:
                    yield chunk({}, "stop", citations=value["citations"], corpusmill=value)
        except Exception as error:
            yield b"data: " + to_json({"error": _told(error, request.state.request_id)}) + b"\n\n"
        yield b"data: [DONE]\n\n"


def _told(error: Exception, request_id: str) -> dict[str, str]:
    if not isinstance(error, CorpusmillError):
        log.error("request %s failed in its stream", request_id, exc_info=error)
        error = unexpected(error)
    return error_body(error, request_id)


def _event(name: str, value: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + to_json(value) + b"\n\n"
