"""One answer from an index in this process: search, then the answer as it is written."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

from rich.text import Text

from jobs.terminal import safe
from retrieval.generation.answer import Answer, answer
from retrieval.generation.evidence import Judge
from retrieval.generation.generators import open_generator
from retrieval.generation.settings import GenerationSettings
from retrieval.search import Result, Searcher


def ask(
    searcher: Searcher, question: str, settings: GenerationSettings, write: Callable[[str], None],
    **options: Any,
) -> tuple[Answer, Result]:  # fmt: skip
    """The answer and the search that it rests on; `write` gets its text piece by piece.

    options: of Searcher. Raises CorpusmillError.
    """
    found = searcher(question, **options)
    generator = open_generator(settings)
    judge = Judge.open()

    async def run() -> Answer:
        async with aclosing(answer(question, found.hits, generator, judge, settings)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    return piece
                write(piece)
        raise AssertionError("an answer always ends with the whole of it")

    return asyncio.run(run()), found


def citations(found: Answer) -> Iterator[Text]:
    """What an answer rests on, for people."""
    for cited in found.citations:
        line = Text(f"[{cited.number}] {safe(cited.title or cited.doc_id)}", style="bold")
        yield line.append(
            safe(f"  {cited.doc_id}, characters {cited.start}-{cited.end}"), style="not bold dim"
        )
        yield Text(f'    "{safe(cited.quote)}"')
    verdict = "the passages support an answer" if found.supported else "the passages hold no answer"
    yield Text(f"{verdict} (support {found.support:.2f}), written by {found.generator}", style="dim")
