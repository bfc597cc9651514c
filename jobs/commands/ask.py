"""One answer from an index in this process: search, then the answer as it is written."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from rich.text import Text

from jobs.harmless import MOST_FIELD, block, field
from jobs.terminal import columns
from retrieval.generation import GenerationSettings, Judge, open_generator, write_answer
from retrieval.generation.context import check_date
from retrieval.generation.decodings import Need, Progress, search_and_write
from retrieval.results import Answer, Result

if TYPE_CHECKING:
    from retrieval.search import Searcher

MOST_QUOTE = 1_000  # columns of a line of a quote


def ask(
    searcher: "Searcher", question: str, settings: GenerationSettings, write: Callable[[str], None],
    **options: Any,
) -> Answer:  # fmt: skip
    """The answer; `write` gets its text piece by piece.

    options: of Searcher. Raises CorpusmillError, also where the index has no such date as `settings` name.
    """
    return Asking(searcher, settings).ask_now(question, write, **options)


class Asking:
    """An index, the generator and the judge, loaded once for many questions."""

    def __init__(self, searcher: "Searcher", settings: GenerationSettings) -> None:
        """Raises ModelError, ConfigError for a generator that runs in the service alone, or no such date."""
        check_date(settings.context.date, searcher.manifest.metadata)
        self.searcher, self.settings = searcher, settings
        self.generator = open_generator(settings)
        self.judge = Judge.open()

    def ask_now(
        self, question: str, write: Callable[[str], None] = lambda _text: None, **options: Any
    ) -> Answer:
        """As `ask`, where no event loop runs."""
        return asyncio.run(self.ask(question, write, **options))

    async def ask(
        self, question: str, write: Callable[[str], None] = lambda _text: None, *,
        seen: Callable[[Result], None] = lambda _found: None, k: int = 5, **options: Any,
    ) -> Answer:  # fmt: skip
        """As `ask`. seen: gets the result of each search. k: passages of a search."""

        async def search(queries: list[str], more: int) -> list[Result]:
            beside = self.settings.context.expand
            return await asyncio.to_thread(
                self.searcher.batch, queries, k + more, neighbours=beside, **options
            )

        def go_on(progress: Progress) -> AsyncGenerator[str | Need | Answer, None]:
            return write_answer(progress, self.generator, self.judge, self.settings)

        async with aclosing(search_and_write(question, (), search, go_on)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
                if isinstance(event, Result):
                    seen(event)
                else:
                    write(event)
        raise AssertionError("an answer always ends with the whole of it")


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
    yield from (Text(line, style="dim") for line in _made(found))
    verdict = "the passages support an answer" if found.supported else "the passages hold no answer"
    yield Text(f"{verdict} (support {found.support:.2f}), written by {field(found.generator)}", style="dim")


def _made(found: Answer) -> Iterator[str]:
    """The searches of an answer of several, and what each passage had in one that weighs them."""
    for number, step in enumerate(found.steps or (), 1):
        named = f"search {number}, {step.reason}: "
        yield named + field(step.query, columns(len(named), MOST_FIELD))
    if found.weights:
        shares = ", ".join(f"[{number}] {share:.2f}" for number, share in enumerate(found.weights, 1))
        yield f"shares of the passages, by {found.decode}: {shares}"
    if doubtful := sum(not claim.supported for claim in found.claims):
        yield f"{doubtful} of {len(found.claims)} sentences are supported by no passage"
