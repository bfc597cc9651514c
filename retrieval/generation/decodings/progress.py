"""What is known of an answer between two searches, and the loop of searching and writing.

What writes an answer may be in another process than the index. So it never searches: it ends with the search
that it needs and with its progress, and is called again with both.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from retrieval.generation.context import Found
from retrieval.results import Answer, Claim, Coverage, Hit, Neighbour, Result, Step


@dataclass(frozen=True)
class Turn:
    """A message of a conversation: `role` is user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Progress:
    """An answer on its way. Plain values, which a process can hand to another.

    `question`: as it was asked. `turns`: the conversation before it. `asked`: the question as it is searched
    for, empty until that is known. `hits`: all that was found. `lists`: the places of each search, and
    `neighbours` what stands beside its hits. `steps`: the searches. `plan`: sub-questions that are left, None
    before it is made. `coverage`: the least of the searches. `text`, `tokens`, `claims`: what is written and
    kept, with the counts of citations `removed` from it and `moved`.
    """

    question: str
    turns: tuple[Turn, ...] = ()
    asked: str = ""
    hits: tuple[Hit, ...] = ()
    lists: tuple[tuple[int, ...], ...] = ()
    neighbours: tuple[tuple[Neighbour, ...], ...] = ()
    steps: tuple[Step, ...] = ()
    plan: tuple[str, ...] | None = None
    coverage: Coverage | None = None
    text: str = ""
    tokens: int = 0
    claims: tuple[Claim, ...] = ()
    removed: int = 0
    moved: int = 0
    timings_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Result) -> "Progress":
        """After one search, whose query is the question."""
        start = cls(found.query, asked=found.query)
        return start.after([found], Need("question", (Wanted(found.query),), start))

    def reading(self) -> list[int]:
        """Places of `hits` in the order to read them: the best of each search first."""
        every: dict[int, None] = {}
        for row in zip_longest(*self.lists):
            every.update(dict.fromkeys(place for place in row if place is not None))
        return list(every)

    def in_reading_order(self) -> "Progress":
        """With hits, and so their numbers, in that order."""
        order = self.reading()
        new = {place: number for number, place in enumerate(order)}
        hits = tuple(replace(self.hits[place], rank=number) for number, place in enumerate(order, 1))
        return replace(self, hits=hits, lists=tuple(tuple(new[one] for one in own) for own in self.lists))

    def found(self) -> list[Found]:
        """What is read: all that was known when writing began, then what the search for each draft added.

        What comes later changes no number of what was there before.
        """
        drafts = sum(step.reason == "uncertain" for step in self.steps)
        parts, read = [], 0
        for search in range(len(self.lists) - drafts, len(self.lists) + 1):
            end = max((place + 1 for row in self.lists[:search] for place in row), default=0)
            beside = [one for row in self.neighbours[:search] for one in row]
            parts.append(Found(self.hits[read:end], beside))
            read = end
        return parts

    def after(self, results: Sequence[Result], need: "Need") -> "Progress":
        """With what searches found: the best of each, as many as one search finds."""
        places = {hit.passage_id: place for place, hit in enumerate(self.hits)}
        hits, own = list(self.hits), dict[int, None]()
        kept: list[list[str]] = [[] for _ in results]
        most = max((len(found.hits) for found in results), default=0)
        for row in zip_longest(*(found.hits for found in results)):
            for number, hit in enumerate(row):
                if hit is None or len(own) == most:
                    continue
                if hit.passage_id not in places:
                    places[hit.passage_id] = len(hits)
                    hits.append(replace(hit, rank=len(hits) + 1))
                own[places[hit.passage_id]] = None
                kept[number].append(hit.passage_id)
        steps = tuple(
            Step(need.reason, one.query, found.version, tuple(ids), one.text, one.probability)
            for one, found, ids in zip(need.wanted, results, kept, strict=True)
        )
        coverages = [found.coverage for found in results] + ([self.coverage] if self.coverage else [])
        beside = {one.passage_id: one for found in results for one in found.neighbours or ()}
        timings = self.timings_ms
        for found in results:
            timings = added(timings, found.timings_ms)
        return replace(
            self, hits=tuple(hits), lists=(*self.lists, tuple(own)), steps=(*self.steps, *steps),
            neighbours=(*self.neighbours, tuple(beside.values())),
            coverage=min(coverages, key=lambda one: one.searched), timings_ms=timings,
        )  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A query, and the text that it was made of; see `Step`."""

    query: str
    text: str | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Need:
    """Searches that an answer needs, which count as one; see `Step`."""

    reason: str
    wanted: tuple[Wanted, ...]
    progress: Progress


Events = AsyncGenerator[str | Need | Answer, None]
Search = Callable[[list[str], int], Awaitable[list[Result]]]
Write = Callable[[Progress], Events]


async def search_and_write(
    question: str, turns: Sequence[Turn], search: Search, write: Write
) -> AsyncGenerator[str | Result | Answer, None]:
    """Pieces of text, the result of each search, and at last the answer.

    turns: the conversation before the question. search: queries, and how many passages more than usual, by
    one version of the index throughout. write: goes on from a progress. Raises what they raise.
    """
    progress = Progress(question, tuple(turns))
    # What stands alone is searched for as it is; what goes on is said anew by whoever writes.
    need = None if turns else Need("question", (Wanted(question),), replace(progress, asked=question))
    while True:
        if need is not None:
            known = need.progress.hits if need.reason == "hop" else ()
            queries = [one.query for one in need.wanted]
            results = [without(found, known) for found in await search(queries, len(known))]
            progress = need.progress.after(results, need)
            for found in results:
                yield found
        need = None
        async with aclosing(write(progress)) as events:
            async for event in events:
                if isinstance(event, Need):
                    need = event
                else:
                    yield event
        if need is None:
            return


def without(found: Result, known: Sequence[Hit]) -> Result:
    """A search that found so many passages more as are known, without those or else the last ones."""
    ids = {hit.passage_id for hit in known}
    most = len(found.hits) - len(known)
    new = [hit for hit in found.hits if hit.passage_id not in ids]
    return replace(found, hits=tuple(new[: max(0, most)]))


def added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Milliseconds by stage, summed."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}
