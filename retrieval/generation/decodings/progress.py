"""What is known of an answer between two searches, and the loop of searching and writing.

What writes an answer may be in another process than the index. So it never searches: it ends with the search
that it needs and with its progress, and is called again with both.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from retrieval.results import Answer, Hit, Result, Step


@dataclass(frozen=True)
class Turn:
    """A message of a conversation: `role` is user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Progress:
    """An answer on its way. Plain values, which a process can hand to another.

    `question`: as it was asked. `turns`: the conversation before it. `asked`: the question as it is searched
    for, empty until that is known. `hits`: all that was found, and place i has the number i + 1. `lists`: the
    places of each search. `steps`: the searches. `plan`: sub-questions that are left. `text`, `tokens`: what
    is written and kept.
    """

    question: str
    turns: tuple[Turn, ...] = ()
    asked: str = ""
    hits: tuple[Hit, ...] = ()
    lists: tuple[tuple[int, ...], ...] = ()
    steps: tuple[Step, ...] = ()
    plan: tuple[str, ...] | None = None
    text: str = ""
    tokens: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)

    def after(self, found: Result, need: "Need") -> "Progress":
        """With what a search found."""
        places = {hit.passage_id: place for place, hit in enumerate(self.hits)}
        hits, own = list(self.hits), []
        for hit in found.hits:
            if hit.passage_id not in places:
                places[hit.passage_id] = len(hits)
                hits.append(replace(hit, rank=len(hits) + 1))
            own.append(places[hit.passage_id])
        ids = tuple(hit.passage_id for hit in found.hits)
        step = Step(need.reason, need.query, found.version, ids, need.text, need.probability)
        return replace(
            self, hits=tuple(hits), lists=(*self.lists, tuple(own)), steps=(*self.steps, step),
            timings_ms=added(self.timings_ms, found.timings_ms),
        )  # fmt: skip


@dataclass(frozen=True)
class Need:
    """A search that an answer needs; see `Step`."""

    reason: str
    query: str
    progress: Progress
    text: str | None = None
    probability: float | None = None


Events = AsyncGenerator[str | Need | Answer, None]
Search = Callable[[str], Awaitable[Result]]
Write = Callable[[Progress, Result | None], Events]


async def search_and_write(progress: Progress, search: Search, write: Write) -> AsyncGenerator[
    str | Result | Answer, None
]:
    """Pieces of text, each search's result, and at last the answer.

    search: by one version of the index throughout. write: goes on from a progress and the result of the
    latest search, None before the first one. Raises what they raise.
    """
    found: Result | None = None
    while True:
        need: Need | None = None
        async with aclosing(write(progress, found)) as events:
            async for event in events:
                if isinstance(event, Need):
                    need = event
                else:
                    yield event
        if need is None:
            return
        found = await search(need.query)
        progress = need.progress.after(found, need)
        yield found


def added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Milliseconds by stage, summed."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}
