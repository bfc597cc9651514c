"""An answer from passages: are they enough, what do they say, and where does it stand."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import ParamSpec, TypeVar

from retrieval.deadline import Deadline, within
from retrieval.errors import DeadlineExceeded, GenerationError
from retrieval.format import Passage
from retrieval.generation.citations import CitationFilter, attribute, cite, quote
from retrieval.generation.evidence import Evidence, Judge, Sentence
from retrieval.generation.extractive import extract_answer
from retrieval.generation.generators import Generator
from retrieval.generation.prompt import NOT_IN_PASSAGES, Prompt, make_prompt
from retrieval.generation.settings import GenerationSettings
from retrieval.generation.support import Support, support
from retrieval.results import Answer, Citation, Hit, Result
from retrieval.text import join_surrogate_stream

EXTRACTIVE = "extractive"
P = ParamSpec("P")
R = TypeVar("R")


async def write_answer(
    found: Result, generator: Generator | None, judge: Judge, settings: GenerationSettings,
    deadline: Deadline | None = None,
) -> AsyncGenerator[str | Answer, None]:  # fmt: skip
    """The answer piece by piece as text, then the whole as `Answer`.

    `found`: the search whose query is the question; all of its hits are read, some 5 ms each. Without a
    generator, and where it writes nothing, the passages' best sentences are the answer. Raises
    GenerationError, also where `settings.timeout_s` pass, DeadlineExceeded, and what the models raise;
    closing the iterator ends the work.
    """
    own = Deadline(of=[deadline] if deadline else [])
    try:
        async with aclosing(_answered(found, generator, judge, settings, own)) as deltas:
            async for delta in deltas:
                yield delta
    finally:
        own.cancel()  # a thread may still judge


async def _answered(
    found: Result, generator: Generator | None, judge: Judge, settings: GenerationSettings,
    deadline: Deadline,
) -> AsyncGenerator[str | Answer, None]:  # fmt: skip
    question, hits = found.query, found.hits
    timings: dict[str, float] = {}
    evidence, judged = await _judged(question, hits, judge, timings, deadline)
    least = settings.support_threshold
    name = generator.name if generator else EXTRACTIVE
    refusal = _refusal(found, judged, name)
    if not evidence.sentences or judged.score < (judged.threshold if least is None else least):
        yield NOT_IN_PASSAGES
        yield replace(refusal, timings_ms=_timings(found, timings))
        return
    text, removed, left_out, tokens = "", 0, 0, 0
    citations: list[Citation] = []
    if generator is not None:
        prompt = await _in_thread(
            deadline, make_prompt, question, hits, generator.count_tokens, settings.context_tokens
        )
        checked = CitationFilter(prompt.passages)
        deltas = _written(generator, prompt, settings, timings, deadline)
        try:
            async for delta in deltas:
                if delta := checked.feed(delta if text else delta.lstrip()):
                    text += delta
                    yield delta
        finally:
            await deltas.aclose()
        if rest := checked.finish():
            text += rest
            yield rest
        removed, left_out = checked.removed, prompt.left_out
        tokens = generator.count_tokens(text) if text else 0
        start = time.perf_counter()
        citations, more = await _in_thread(deadline, _cited, text, evidence, hits, prompt)
        timings["citations"] = _since(start)
        if more:
            text += more
            yield more
    if not text.strip():
        extracted = extract_answer(evidence)
        name, text = EXTRACTIVE, extracted.text
        citations = _quotes(extracted.sentences, hits)
        yield text
    yield replace(
        refusal, answer=text, supported=True, generator=name, extractive=name == EXTRACTIVE,
        citations=tuple(citations), removed_citations=removed, left_out=left_out, tokens=tokens,
        timings_ms=_timings(found, timings),
    )  # fmt: skip


def _refusal(found: Result, judged: Support, generator: str) -> Answer:
    """The answer where the passages hold none."""
    return Answer(
        question=found.query, answer=NOT_IN_PASSAGES, supported=False, support=round(judged.score, 4),
        generator=generator, extractive=generator == EXTRACTIVE, citations=(), removed_citations=0,
        left_out=0, tokens=0, version=found.version, coverage=found.coverage, timings_ms={},
    )  # fmt: skip


def _timings(found: Result, timings: dict[str, float]) -> dict[str, float]:
    return {**found.timings_ms, **{name: round(value, 3) for name, value in timings.items()}}


async def _judged(
    question: str, passages: Sequence[Passage], judge: Judge, timings: dict[str, float], deadline: Deadline
) -> tuple[Evidence, Support]:
    """What the passages have to do with the question; its time goes into `timings`."""
    start = time.perf_counter()
    evidence = await _in_thread(deadline, judge.read, question, passages)
    found = await _in_thread(deadline, support, evidence)
    timings["support"] = _since(start)
    return evidence, found


async def _written(
    generator: Generator,
    prompt: Prompt,
    settings: GenerationSettings,
    timings: dict[str, float],
    deadline: Deadline,
) -> AsyncGenerator[str, None]:
    """What the generator writes, within the settings' time; its times go into `timings`."""
    start = time.perf_counter()
    written = generator.stream(
        prompt, max_tokens=settings.max_tokens, temperature=settings.temperature, stop=settings.stop
    )
    stream = join_surrogate_stream(written)  # whoever wrote it: what is no Unicode cannot be sent on
    try:
        while True:
            deadline.check()
            remaining, left = settings.timeout_s - (time.perf_counter() - start), deadline.left
            try:
                async with asyncio.timeout(min(remaining, left)):
                    delta = await anext(stream)
            except StopAsyncIteration:
                break
            except TimeoutError as error:
                if left < remaining:
                    raise DeadlineExceeded("the request took longer than it may") from error
                raise GenerationError(
                    f"{generator.name} did not finish within {settings.timeout_s:g} seconds",
                    hint="Raise timeout_s, or lower max_tokens.",
                ) from error
            timings.setdefault("first_token", _since(start))
            yield delta
    finally:
        await stream.aclose()
        timings["generation"] = _since(start)


async def _in_thread(deadline: Deadline, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What computes, under the deadline. Raises DeadlineExceeded."""

    def working() -> R:
        with within(deadline):
            return work(*args, **kwargs)

    deadline.check()
    left = deadline.left
    thread = asyncio.ensure_future(asyncio.to_thread(working))
    try:
        done, _ = await asyncio.wait([thread], timeout=None if math.isinf(left) else left)
        if not done:
            raise DeadlineExceeded("the request took longer than it may")
        return thread.result()
    finally:
        thread.cancel()  # nobody reads what it still finds


def _cited(text: str, evidence: Evidence, hits: Sequence[Hit], prompt: Prompt) -> tuple[list[Citation], str]:
    """Citations of a written answer, and what must be added where it has none and a passage has its words."""
    citations = cite(text, evidence, hits)
    if citations or not text.strip() or NOT_IN_PASSAGES in text.casefold():
        return citations, ""
    sentence = attribute(text, evidence)
    if sentence is None or sentence.passage >= prompt.passages:
        return [], ""
    return [quote(sentence, hits)], f" [{sentence.passage + 1}]"


def _quotes(sentences: Sequence[Sentence], hits: Sequence[Hit]) -> list[Citation]:
    """A citation for each passage, by number, with the best of its sentences."""
    best: dict[int, Citation] = {}
    for sentence in sentences:
        best.setdefault(sentence.passage, quote(sentence, hits))
    return [best[place] for place in sorted(best)]


def _since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
