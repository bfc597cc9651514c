"""Answers in a deployment of their own, and the generator of the settings, vLLM's engine among them."""

import asyncio
import os
import time
from contextlib import aclosing
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError, DeadlineExceeded
from retrieval.generation import open_generator
from retrieval.generation.decodings import Progress
from retrieval.generation.generators import Generator
from retrieval.serve.distributed.replica_port import keep_to_loopback
from retrieval.serve.distributed.vllm import VLLMGenerator
from retrieval.serve.errors import Overloaded, Unavailable
from retrieval.serve.runtime import AnswerStream, LocalAnswers
from retrieval.serve.settings import Placement, ServeSettings


def open_answer_generator(
    settings: ServeSettings, llm: DeploymentHandle | None, cpus: float | None = None
) -> Generator | None:
    """The generator of the settings, loaded.

    llm: the engine of vllm. cpus: of its place; default: all there are.
    Raises ConfigError and ModelError where it cannot be had.
    """
    own = settings.generation
    if llm is not None:
        return VLLMGenerator(llm, own.model or "")
    # In a worker of Ray, torch computes with one thread unless it is told otherwise.
    threads = int(len(os.sched_getaffinity(0)) if cpus is None else cpus)
    return open_generator(own, threads=settings.threads or max(1, threads))


class AnswerServer(LocalAnswers):
    """The same as a deployment, whose placement says how many answers it writes at a time."""

    def __init__(self, settings: ServeSettings, llm: DeploymentHandle | None = None) -> None:
        keep_to_loopback()
        most = settings.generator.max_ongoing
        super().__init__(settings, open_answer_generator(settings, llm, settings.generator.cpus), most)

    async def write(self, left_s: float, progress: Progress, asked: dict[str, Any]) -> AnswerStream:
        """As `stream`, within `left_s` seconds and as long as the caller reads."""
        deadline = Deadline.after(left_s)
        try:
            async with aclosing(self.stream(progress, asked, deadline)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            deadline.cancel()


class RemoteAnswers:
    """Behind a handle."""

    def __init__(self, handle: DeploymentHandle, settings: ServeSettings) -> None:
        self._handle = handle
        self._place_s = settings.limits.timeout_s
        self._longest_s = settings.longest_s

    async def stream(self, progress: Progress, asked: dict[str, Any], deadline: Deadline) -> AnswerStream:
        """See Answers."""
        deadline.check()
        handle = self._handle.options(method_name="write", stream=True)
        remote = handle.remote(min(deadline.left, self._longest_s), progress, asked)
        now = time.monotonic()
        whole = Deadline(now + self._longest_s, of=[deadline])
        until = Deadline(now + self._place_s, of=[deadline])  # it has a place to write at
        try:
            while True:
                try:
                    async with asyncio.timeout(until.left):
                        delta = await anext(remote)
                except StopAsyncIteration:
                    return
                until = whole
                yield delta
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
