"""Short texts that a generator writes on the way to an answer."""

import asyncio
from contextlib import aclosing

from retrieval.deadline import Deadline
from retrieval.errors import DeadlineExceeded
from retrieval.generation.generators import Generator
from retrieval.generation.neutralized import inert
from retrieval.generation.prompt import Prompt


def instruction(rules: str, asked: str) -> Prompt:
    """A prompt for a generator that follows instructions."""
    messages = ({"role": "system", "content": rules}, {"role": "user", "content": asked})
    return Prompt(f"{rules}\n{asked}\n", messages, passages=0, cut=None, left_out=0)


async def complete(generator: Generator, prompt: Prompt, max_tokens: int, deadline: Deadline) -> str:
    """What the generator writes, at its likeliest. Raises what it raises, and DeadlineExceeded."""
    text = ""
    written = generator.stream(prompt, max_tokens=max_tokens, temperature=0.0, stop=())
    try:
        async with (
            asyncio.timeout(deadline.left if deadline.left < 1e9 else None),
            aclosing(written) as deltas,
        ):
            async for delta in deltas:
                text += delta
    except TimeoutError as error:
        raise DeadlineExceeded("the request took longer than it may") from error
    return text


def plain_lines(text: str) -> list[str]:
    """The lines of what a model wrote, none empty, with nothing in them that passes for anything else."""
    return [line for line in map(inert, text.splitlines()) if line]
