"""Answers from passages: the generator and the judge of their support, in this process or in a deployment."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError, DeadlineExceeded
from retrieval.generation import EXTRACTIVE, Answer, GenerationSettings, Judge, write_answer
from retrieval.generation.generators import Generator, open_generator
from retrieval.search import Hit
from retrieval.serve.distributed import VLLMGenerator, keep_to_loopback
from retrieval.serve.errors import Overloaded, Unavailable, public_name
from retrieval.serve.settings import Placement, ServeSettings

Pieces = AsyncGenerator[str | Answer, None]


class Answers(Protocol):
    """What the routes ask. Closing an iterator ends the work on it within 2 seconds."""

    def stream(self, question: str, hits: Sequence[Hit], asked: dict[str, Any], deadline: Deadline) -> Pieces:
        """An empty text as soon as there is a place, pieces of text, then the whole Answer.

        asked: max_tokens, temperature, stop, where they differ. Raises Overloaded before anything else, and
        what `retrieval.generation.answering` raises.
        """


class Answering:
    """In this process."""

    def __init__(
        self, settings: ServeSettings, llm: DeploymentHandle | None = None, most: int | None = None
    ) -> None:
        """Load the models. llm: the engine of vllm. most: answers at a time; default: limits.answers.

        Raises ConfigError and ModelError where the generator cannot be had.
        """
        self._settings = own = settings.generation
        self._free = most or settings.limits.answers
        self._limit = "generator.max_ongoing" if most else "limits.answers"
        self._judge = Judge.open(threads=settings.threads)
        self._generator: Generator | None
        if llm is not None:
            self._generator = VLLMGenerator(llm, own.model or "")
        else:
            # In a worker of Ray, torch computes with one thread unless it is told otherwise.
            cpus = settings.generator.cpus if most else len(os.sched_getaffinity(0))
            self._generator = open_generator(own, threads=settings.threads or max(1, int(cpus)))

    async def stream(
        self, question: str, hits: Sequence[Hit], asked: dict[str, Any], deadline: Deadline
    ) -> Pieces:
        """See Answers."""
        if not self._free:
            raise Overloaded(f"as many answers are being written as may be ({self._limit})")
        self._free -= 1
        try:
            yield ""
            own: GenerationSettings = self._settings.model_copy(update=asked)
            written = write_answer(question, hits, self._generator, self._judge, own, deadline)
            async with aclosing(written) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._free += 1


class AnswerServer(Answering):
    """The same as a deployment, whose placement says how many answers it writes at a time."""

    def __init__(self, settings: ServeSettings, llm: DeploymentHandle | None = None) -> None:
        keep_to_loopback()
        super().__init__(settings, llm, settings.generator.max_ongoing)

    async def write(self, left_s: float, question: str, hits: Sequence[Hit], asked: dict[str, Any]) -> Pieces:
        """As `stream`, within `left_s` seconds and as long as the caller reads."""
        deadline = Deadline.after(left_s)
        try:
            async with aclosing(self.stream(question, hits, asked, deadline)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            deadline.cancel()


class RemoteAnswers:
    """Behind a handle."""

    def __init__(self, handle: DeploymentHandle, settings: ServeSettings) -> None:
        self._handle = handle
        self._place_s = settings.limits.timeout_s
        self._longest_s = settings.longest_s

    async def stream(
        self, question: str, hits: Sequence[Hit], asked: dict[str, Any], deadline: Deadline
    ) -> Pieces:
        """See Answers."""
        deadline.check()
        handle = self._handle.options(method_name="write", stream=True)
        remote = handle.remote(min(deadline.left, self._longest_s), question, hits, asked)
        now = time.monotonic()
        whole = Deadline(now + self._longest_s, of=[deadline])
        until = Deadline(now + self._place_s, of=[deadline])  # it has a place to write at
        try:
            while True:
                try:
                    async with asyncio.timeout(until.left):
                        piece = await anext(remote)
                except StopAsyncIteration:
                    return
                until = whole
                yield piece
        except TimeoutError as error:
            raise DeadlineExceeded("the generator did not answer in time") from error
        except RayTaskError as error:
            if isinstance(error.cause, CorpusmillError):
                raise error.cause from error
            raise Unavailable(f"the generator failed: {type(error.cause).__name__}") from error
        except BackPressureError as error:
            raise Overloaded("as many answers wait for the generator as may (max_queued)") from error
        except (RayError, RayServeException) as error:
            raise Unavailable(f"the generator does not answer: {type(error).__name__}") from error
        finally:
            remote.cancel()


def generator_deployment(settings: ServeSettings, llm: serve.Application | None) -> serve.Application:
    """The deployment."""
    # The engine itself is scaled by `generator`, if there is one; this is what reads and checks its answers.
    own = settings.generator
    placement = own if llm is None else Placement(max_ongoing=own.max_ongoing, max_queued=own.max_queued)
    options = placement.options(settings.longest_s)
    return serve.deployment(AnswerServer, name="generator", **options).bind(settings, llm)


def generator_name(settings: GenerationSettings) -> str:
    """What answers are written by, as /v1/index tells it."""
    return (
        EXTRACTIVE
        if settings.of.open is None
        else f"{settings.kind}: {public_name(settings.model or 'default')}"
    )
