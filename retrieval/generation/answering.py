"""An answer from passages: are they enough, what do they say, and where does it stand."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from retrieval.deadline import Deadline
from retrieval.generation.context import Context, read_context
from retrieval.generation.decodings import Need, Progress, Timed, Writing, begun, first_search, next_search
from retrieval.generation.evidence import Evidence, Judge
from retrieval.generation.extractive import extract_answer
from retrieval.generation.generators import Generator, Marginal
from retrieval.generation.prompt import NOT_IN_PASSAGES
from retrieval.generation.settings import GenerationSettings
from retrieval.generation.support import Support, support
from retrieval.results import Answer, Coverage, TokenWeight

EXTRACTIVE = "extractive"
Events = AsyncGenerator[str | Need | Answer, None]


async def write_answer(
    progress: Progress, generator: Generator | None, judge: Judge, settings: GenerationSettings,
    deadline: Deadline | None = None,
) -> Events:  # fmt: skip
    """The answer piece by piece as text, then the whole as `Answer`; or a search that it needs before.

    progress: with the searches so far, whose hits are all read, some 5 ms each; `search_and_write` goes on
    from one to the next. Without a generator, and where it writes nothing, the passages' best sentences are
    the answer. Raises GenerationError, also where `settings.timeout_s` pass, ConfigError for a decoding that
    the generator cannot do, DeadlineExceeded, and what the models raise; closing the iterator ends the work.
    """
    own = Deadline(of=[deadline] if deadline else [])
    timed = Timed(own, settings.timeout_s, progress.timings_ms)
    try:
        async with aclosing(_answered(progress, generator, judge, settings, timed)) as events:
            async for event in events:
                if isinstance(event, Need):
                    yield replace(event, progress=replace(event.progress, timings_ms=timed.ms))
                    return
                yield event
    finally:
        own.cancel()  # a thread may still judge


async def _answered(
    progress: Progress, generator: Generator | None, judge: Judge, settings: GenerationSettings, timed: Timed
) -> Events:
    if not progress.steps:
        yield await first_search(progress, generator, settings, timed.deadline)
        return
    writing = begun(progress.steps, progress.text)
    progress = progress if writing else progress.in_reading_order()
    count = generator.count_tokens if generator else None
    with timed.stage("context"):
        context = await timed.in_thread(
            read_context, progress.found(), settings.context, settings.context_tokens, count
        )
    with timed.stage("support"):
        evidence = await timed.in_thread(judge.read, progress.asked, context.passages)
    if not writing:
        progress, need = await next_search(progress, context, evidence, generator, settings, timed.deadline)
        if need is not None:
            yield need
            return
    with timed.stage("support"):
        judged = await timed.in_thread(support, evidence)
    least = settings.support_threshold
    refusal = _refusal(progress, context, judged, generator, settings)
    if not writing and (
        not evidence.sentences or judged.score < (judged.threshold if least is None else least)
    ):
        yield NOT_IN_PASSAGES
        yield replace(refusal, timings_ms=_rounded(timed))
        return
    async with aclosing(
        _written(progress, context, evidence, judged, refusal, generator, settings, timed)
    ) as events:
        async for event in events:
            yield event


async def _written(
    progress: Progress, context: Context, evidence: Evidence, judged: Support, refusal: Answer,
    generator: Generator | None, settings: GenerationSettings, timed: Timed,
) -> Events:  # fmt: skip
    """The answer of passages that support one."""
    found = replace(refusal, answer="", supported=True)
    if generator is not None:
        written = Writing(progress, context, evidence, generator, settings, timed)
        async with aclosing(written.write()) as deltas:
            async for delta in deltas:
                yield delta
                if isinstance(delta, Need):
                    return
        found = replace(
            found, answer=written.text, citations=written.citations, claims=written.claims,
            tokens=written.tokens, removed_citations=written.removed, moved_citations=written.moved,
            left_out=written.left_out, context=context.read(written.read, written.cut),
            **_shares(written.marginal),
        )  # fmt: skip
    if not found.answer.strip():
        searches = len(progress.lists)
        extracted = await timed.in_thread(extract_answer, evidence, judged.sources, searches)
        yield extracted.text
        found = replace(
            found, answer=extracted.text, generator=EXTRACTIVE, extractive=True, claims=extracted.claims,
            citations=extracted.citations(context.passages), context=refusal.context,
        )  # fmt: skip
    yield replace(found, timings_ms=_rounded(timed))


def _refusal(
    progress: Progress, context: Context, judged: Support, generator: Generator | None,
    settings: GenerationSettings,
) -> Answer:  # fmt: skip
    """The answer where the passages hold none."""
    name = generator.name if generator else EXTRACTIVE
    searched = progress.steps
    return Answer(
        question=progress.question, answer=NOT_IN_PASSAGES, supported=False, support=round(judged.score, 4),
        generator=name, extractive=generator is None, citations=(), removed_citations=0, left_out=0, tokens=0,
        version=searched[-1].version, coverage=progress.coverage or Coverage.of(0, 0), timings_ms={},
        decode=settings.decode, steps=searched if len(searched) > 1 or progress.turns else None,
        context=context.read(range(len(context.passages))), joined=context.joined,
        near_duplicates=context.near_duplicates,
    )  # fmt: skip


def _shares(marginal: Marginal | None) -> dict[str, Any]:
    """Fields of an answer over passages by themselves."""
    if marginal is None:
        return {}

    def rounded(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(round(value, 4) for value in values)

    tokens = tuple(TokenWeight(text, rounded(weights)) for text, weights in marginal.tokens)
    return {
        "weights": rounded(marginal.weights), "likelihood": round(marginal.likelihood, 4),
        "token_weights": tokens or None,
    }  # fmt: skip


def _rounded(timed: Timed) -> dict[str, float]:
    return {name: round(value, 3) for name, value in timed.ms.items()}
