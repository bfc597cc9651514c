"""Answers with citations, plain, streamed, and in OpenAI's shape."""

import math
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError
from retrieval.generation.context import check_date
from retrieval.generation.decodings import Progress, search_and_write
from retrieval.results import ANSWER, Answer, Result
from retrieval.serve.errors import checking, error_body, public_name, unexpected
from retrieval.serve.http.disconnects import unless_left
from retrieval.serve.http.examples import CHAT, responses
from retrieval.serve.http.guard import json_response, to_json
from retrieval.serve.http.requests import DOCUMENTED, allow, check_options, check_text, seconds_of
from retrieval.serve.http.schemas import AnswerRequest, ChatRequest, Conversation, Options, conversation
from retrieval.serve.logs import log
from retrieval.serve.runtime import AnswerStream, Service

router = APIRouter(prefix="/v1", responses=DOCUMENTED, redirect_slashes=False)
Event = tuple[str, dict[str, Any]]
Events = AsyncGenerator[Event, None]


@router.post(
    "/answer", response_model=Answer, responses=responses(ANSWER.as_json(), streamed=True),
    summary="Answer a question from the passages found",
)  # fmt: skip
async def answer(request: Request, asked: AnswerRequest) -> Response:
    """An answer with its citations; as events `passages`, `token`, `answer` or `error` where streamed."""
    service = allow(request, "search")
    check_options(service, asked)
    talk = conversation(asked.messages, asked.question)
    check_text(service, [talk.question])
    events = answered(service, talk, asked, asked.writing(asked.stop))
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
    talk = conversation(asked.messages)
    options = Options(k=5, filter=asked.filter)
    check_options(service, options)
    check_text(service, [talk.question])
    writing = asked.writing(asked.stop)
    if asked.max_completion_tokens is not None:
        writing["max_tokens"] = asked.max_completion_tokens
    base: dict[str, Any] = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
    base["model"] = asked.model or "corpusmill"
    events = answered(service, talk, options, writing)
    if asked.stream:
        first = await _first(request, events)
        return _streamed(_as_chunks(request, base, first, events))
    found = await unless_left(request, _last(events))
    choice = {
        "index": 0, "message": {"role": "assistant", "content": found["answer"]}, "finish_reason": "stop",
        "logprobs": None,
    }  # fmt: skip
    used, written = 1 + len(talk.question) // 4, found["tokens"] or 1 + len(found["answer"]) // 4  # about
    usage = {"prompt_tokens": used, "completion_tokens": written, "total_tokens": used + written}
    return json_response({
        **base, "object": "chat.completion", "choices": [choice], "usage": usage,
        "citations": found["citations"], "corpusmill": found,
    })  # fmt: skip


async def answered(service: Service, talk: Conversation, asked: Options, writing: dict[str, Any]) -> Events:
    """Events `passages` for each search, `token` and `answer`. Counts as under way until closed.

    All searches are by the version that is current at the first one.
    """
    start = time.perf_counter()
    options = {"require_full": asked.require_full, "version": service.version, **asked.asked()}
    whole = Deadline.after(min(service.settings.longest_s, seconds_of(asked.timeout_ms) or math.inf))
    with checking():
        own = service.settings.generation.changed(writing)
        if "date" in writing.get("context", {}):
            with service.backend.use(options["version"], whole) as path:
                check_date(own.context.date, path.manifest.metadata)
    options["neighbours"] = own.context.expand

    async def search(queries: list[str], more: int) -> list[Result]:
        these = {**options, "k": asked.k + more}
        return await service.run(lambda deadline: service.search(queries, deadline, **these), whole=whole)

    async def write(progress: Progress) -> AnswerStream:
        with service.admission.turn():
            async with aclosing(service.answers.stream(progress, writing, whole)) as events:
                await anext(events)  # a place to write: whoever gets none is told by the status
                yield ""
                async for event in events:
                    yield event

    waiting: list[Result] = []
    async with aclosing(search_and_write(talk.question, talk.turns, search, write)) as events:
        async for event in events:
            if isinstance(event, Result):
                waiting.append(event)  # told as soon as there is a place to write
                continue
            for found in waiting:
                values = found.as_json()
                yield "passages", {name: values[name] for name in ("query", "version", "coverage", "hits")}
            waiting.clear()
            if isinstance(event, Answer):
                service.metrics.wrote(event)
                total = round(1000 * (time.perf_counter() - start), 3)
                timings = {**event.timings_ms, "total": total}
                told = replace(event, generator=public_name(event.generator), timings_ms=timings)
                yield "answer", told.as_json()
            elif event:
                yield "token", {"text": event}


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
                elif name == "answer":
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
