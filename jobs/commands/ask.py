"""One answer from an index in this process: search, then the answer as it is written."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

from rich.text import Text

from jobs.harmless import MOST_FIELD, block, field
from jobs.terminal import columns
from retrieval.generation import GenerationSettings, Judge, open_generator, write_answer
from retrieval.results import Answer
from retrieval.search import Searcher

MOST_QUOTE = 1_000  # columns of a line of a quote


def ask(
    searcher: Searcher, question: str, settings: GenerationSettings, write: Callable[[str], None],
    **options: Any,
) -> Answer:  # fmt: skip
    """The answer; `write` gets its text piece by piece.

    options: of Searcher. Raises CorpusmillError.
    """
    found = searcher(question, **options)
    generator = open_generator(settings)
    judge = Judge.open()

    async def run() -> Answer:
        async with aclosing(write_answer(found, generator, judge, settings)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Answer):
                    return delta
                write(delta)
        raise AssertionError("an answer always ends with the whole of it")

    return asyncio.run(run())


def citations(found: Answer) -> Iterator[Text]:
    """What an answer rests on, for people."""
    for cited in found.citations:
        head = Text(
            f"[{cited.number}] {field(cited.title or cited.doc_id, columns(48, MOST_FIELD))}", style="bold"
        )
        yield head.append(
            f"  {field(cited.doc_id, columns(48, MOST_FIELD))}, characters {cited.start}-{cited.end}",
            style="not bold dim",
        )
        quote = " ".join(cited.quote.split())
        yield from map(Text, block(f'"{quote}"', "    ", columns(0, MOST_QUOTE)))
    verdict = "the passages support an answer" if found.supported else "the passages hold no answer"
    yield Text(f"{verdict} (support {found.support:.2f}), written by {field(found.generator)}", style="dim")
