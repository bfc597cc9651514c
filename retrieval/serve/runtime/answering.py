"""Answers from passages: what routes ask for, and the generator and the judge of support in this process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from retrieval.deadline import Deadline
from retrieval.generation import EXTRACTIVE, GenerationSettings, Judge, write_answer
from retrieval.generation.decodings import Need, Progress
from retrieval.generation.generators import Generator
from retrieval.results import Answer
from retrieval.serve.errors import Overloaded, public_name
from retrieval.serve.settings import ServeSettings

AnswerStream = AsyncGenerator[str | Need | Answer, None]


class Answers(Protocol):
    """What the routes ask. Closing an iterator ends the work on it within 2 seconds."""

    def stream(self, progress: Progress, asked: dict[str, Any], deadline: Deadline) -> AnswerStream:
        """An empty text as soon as there is a place, deltas of text, then the whole Answer or a Need.

        asked: settings of generation that differ. Raises Overloaded before anything else, ConfigError for
        what cannot be asked, and what `retrieval.generation.answering` raises.
        """


class LocalAnswers:
    """In this process."""

    def __init__(self, settings: ServeSettings, generator: Generator | None, most: int | None = None) -> None:
        """Load the judge.

        generator: None answers by extraction. most: answers at a time; default: limits.answers.
        Raises ModelError where the judge cannot be had.
        """
        self._settings = settings.generation
        self._free = most or settings.limits.answers
        self._limit = "generator.max_ongoing" if most else "limits.answers"
        self._judge = Judge.open(threads=settings.threads)
        self._generator = generator

    async def stream(self, progress: Progress, asked: dict[str, Any], deadline: Deadline) -> AnswerStream:
        """See Answers."""
        if not self._free:
            raise Overloaded(f"as many answers are being written as may be ({self._limit})")
        self._free -= 1
        try:
            yield ""
            own = self._settings.changed(asked)
            written = write_answer(progress, self._generator, self._judge, own, deadline)
            async with aclosing(written) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._free += 1


def generator_name(settings: GenerationSettings) -> str:
    """What answers are written by, as /v1/index tells it."""
    return (
        EXTRACTIVE
        if settings.of.open is None
        else f"{settings.kind}: {public_name(settings.model or 'default')}"
    )
