"""An answer from passages: are they enough, what do they say, and where does it stand."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from retrieval.deadline import Deadline, within
from retrieval.errors import DeadlineExceeded, GenerationError
from retrieval.format import Passage
from retrieval.generation.citations import Citation, CitationFilter, attribute, cite, quote
from retrieval.generation.evidence import Evidence, Judge
from retrieval.generation.extractive import extract_answer
from retrieval.generation.generators import Generator
from retrieval.generation.prompt import NOT_IN_PASSAGES, Prompt, make_prompt
from retrieval.generation.settings import GenerationSettings
from retrieval.generation.support import Support, support
from retrieval.search import Hit, Result
from retrieval.text import join_surrogate_stream

EXTRACTIVE = "extractive"
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Answer:
    """An answer with its citations.

    `supported`: whether the passages are likely to hold an answer; where not, `answer` says so. `support`:
    that likelihood at even odds, 0 to 1. `removed_citations`: numbers of no given passage, taken out.
    `left_out`: passages that were found and did not fit into the prompt. `tokens`: that the generator wrote,
    or about as many. `timings_ms`: support, generation, first_token, citations.
    """

    question: str
    answer: str
    supported: bool
    support: float
    generator: str
    citations: tuple[Citation, ...]
    removed_citations: int
    left_out: int
    timings_ms: dict[str, float]
    tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """From the first token on; 0 where nothing was generated."""
        ms = self.timings_ms.get("generation", 0.0) - self.timings_ms.get("first_token", 0.0)
        return 1000 * self.tokens / ms if self.tokens and ms > 0 else 0.0

    @property
    def extractive(self) -> bool:
        """Whether the answer consists of sentences of the passages."""
        return self.generator == EXTRACTIVE

    def as_json(self, found: Result) -> dict[str, Any]:
        """The object that commands and servers print; `found`: the search that the passages come from."""
        return {
            "question": self.question, "answer": self.answer, "supported": self.supported,
            "support": round(self.support, 4), "generator": self.generator, "extractive": self.extractive,
            "citations": [citation.as_json() for citation in self.citations],
            "removed_citations": self.removed_citations, "left_out": self.left_out, "tokens": self.tokens,
            "version": found.version, "coverage": found.coverage.as_json(),
            "timings_ms": {**found.timings_ms, **{k: round(v, 3) for k, v in self.timings_ms.items()}},
        }  # fmt: skip


async def write_answer(
    question: str, hits: Sequence[Hit], generator: Generator | None, judge: Judge,
    settings: GenerationSettings, deadline: Deadline | None = None,
) -> AsyncGenerator[str | Answer, None]:  # fmt: skip
    """The answer piece by piece as text, then the whole as `Answer`.

    `hits`: what a search found, best first; all of them are read, some 5 ms each. Without a generator, and
    where it writes nothing, the passages' best sentences are the answer. Raises GenerationError, also where
    `settings.timeout_s` pass, DeadlineExceeded, and what the models raise; closing the iterator ends the
    work.
    """
    own = Deadline(of=[deadline] if deadline else [])
    try:
        async with aclosing(_answered(question, hits, generator, judge, settings, own)) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        own.cancel()  # a thread may still judge


async def _answered(
    question: str, hits: Sequence[Hit], generator: Generator | None, judge: Judge,
    settings: GenerationSettings, deadline: Deadline,
) -> AsyncGenerator[str | Answer, None]:  # fmt: skip
    passages = [hit.passage for hit in hits]
    timings: dict[str, float] = {}
    evidence, found = await _judged(question, passages, judge, timings, deadline)
    least = settings.support_threshold
    name = generator.name if generator else EXTRACTIVE
    if not evidence.sentences or found.score < (found.threshold if least is None else least):
        yield NOT_IN_PASSAGES
        yield Answer(question, NOT_IN_PASSAGES, False, found.score, name, (), 0, 0, timings)
        return
    text, removed, left_out, tokens = "", 0, 0, 0
    citations: list[Citation] = []
    if generator is not None:
        prompt = await _in_thread(
            deadline, make_prompt, question, passages, generator.count_tokens, settings.context_tokens
        )
        checked = CitationFilter(prompt.passages)
        pieces = _written(generator, prompt, settings, timings, deadline)
        try:
            async for piece in pieces:
                if piece := checked.feed(piece if text else piece.lstrip()):
                    text += piece
                    yield piece
        finally:
            await pieces.aclose()
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
    yield Answer(
        question, text, True, found.score, name, tuple(citations), removed, left_out, timings, tokens
    )


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
                    piece = await anext(stream)
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
            yield piece
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
    passages = [hit.passage for hit in hits]
    citations = cite(text, evidence, passages)
    if citations or not text.strip() or NOT_IN_PASSAGES in text.casefold():
        return citations, ""
    sentence = attribute(text, evidence)
    if sentence is None or sentence.passage >= prompt.passages:
        return [], ""
    return [quote(sentence, passages)], f" [{sentence.passage + 1}]"


def _quotes(sentences: Sequence[Any], hits: Sequence[Hit]) -> list[Citation]:
    """A citation for each passage, by number, with the best of its sentences."""
    passages = [hit.passage for hit in hits]
    best: dict[int, Citation] = {}
    for sentence in sentences:
        best.setdefault(sentence.passage, quote(sentence, passages))
    return [best[place] for place in sorted(best)]


def _since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
