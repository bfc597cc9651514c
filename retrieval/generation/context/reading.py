"""From the hits of searches the passages that are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retrieval.format import Passage
from retrieval.generation.context.dates import date_of
from retrieval.generation.context.diversity import diversified
from retrieval.generation.context.duplicates import without_copies
from retrieval.generation.context.joining import Part, Run, runs
from retrieval.generation.context.neighbours import Count, beside
from retrieval.generation.context.passages import ContextPassage, Piece
from retrieval.generation.context.settings import ContextSettings
from retrieval.generation.prompt import estimate_tokens, line_of
from retrieval.results import Hit, ReadPassage


@dataclass(frozen=True)
class Found:
    """Hits that are read together, the best first, and passages that may stand beside them."""

    hits: Sequence[Hit]
    neighbours: Sequence[Passage] = ()


@dataclass(frozen=True)
class Context:
    """What is read: passage i has the number i + 1.

    `joined`: hits that became part of the passage of a better one. `near_duplicates`: hits that were left out
    as copies of better ones. `holding`: by its place among the hits, the place of the passage that has one.
    """

    passages: tuple[ContextPassage, ...]
    joined: int
    near_duplicates: int
    holding: dict[int, int]

    @property
    def dates(self) -> list[str]:
        """Of the passages, for the prompt."""
        return [passage.date for passage in self.passages]

    def read(self, places: Iterable[int], cut: int | None = None) -> tuple[ReadPassage, ...]:
        """What an answer tells of these passages, by number; of the last one `cut` characters were read."""
        order = list(places)
        last = order[-1] if order and cut is not None else -1
        return tuple(
            self.passages[place].record(place + 1, cut if place == last else None) for place in sorted(order)
        )


def read_context(
    found: Sequence[Found], settings: ContextSettings, budget: int, count: Count | None = None
) -> Context:
    """The passages that are read of what searches found.

    found: in several parts, where passages came while an answer was written: the numbers of those before them
    stay. budget: tokens, of which neighbours take at most half. count: tokens of a text for the generator,
    which reads no more than that; what does not fit stands after the rest as it was found, and displaces
    nothing. Without one nobody writes, and all hits are read whatever their size.
    """
    reader = _Reader(settings, budget, count)
    for part in found:
        reader.add(part)
    hits = sum(len(part.hits) for part in found)
    return Context(tuple(reader.passages), reader.joined, hits - len(reader.kept), reader.holding)


class _Reader:
    def __init__(self, settings: ContextSettings, budget: int, count: Count | None) -> None:
        self.passages: list[ContextPassage] = []
        self.holding: dict[int, int] = {}
        self.kept: list[Hit] = []
        self.joined = 0
        self._settings, self._budget, self._count = settings, budget, count
        self._read: dict[str, int] = {}  # ids of passages that are read whole, and the places of those
        self._first = 0  # place of the next hit

    def add(self, found: Found) -> None:
        """Read what is new."""
        kept = without_copies(found.hits, self.kept)
        self.kept += kept
        order = diversified(
            [hit for hit in kept if hit.passage_id not in self._read], self._settings.diversity
        )
        neighbours = {passage.passage_id: passage for passage in found.neighbours}
        for known in (*(hit.passage_id for hit in order), *self._read):
            neighbours.pop(known, None)  # a hit brings its own
        parts, whole = self._fitting(order, neighbours)
        joined = [run for run in runs(parts) if run.places]
        rest = [Run(Part.whole(hit, place)) for place, hit in enumerate(order) if place >= whole]
        for run in sorted([*joined, *rest], key=lambda run: min(run.places)):
            self._take(run, order)
        self.joined += len(kept) - len(joined) - len(rest)
        for place, hit in enumerate(found.hits, self._first):
            if hit.passage_id in self._read:
                self.holding[place] = self._read[hit.passage_id]
        self._first += len(found.hits)

    def _take(self, run: Run, order: Sequence[Hit]) -> None:
        best = min((order[place] for place in run.places), key=lambda hit: hit.rank)
        pieces = tuple(Piece(part.passage.passage_id, part.start, part.end) for part in run.parts)
        for part in run.parts:
            if part.is_whole:
                self._read.setdefault(part.passage.passage_id, len(self.passages))
        date = date_of(best.metadata, self._settings.date)
        self.passages.append(ContextPassage(best, run.text, run.start, date, pieces))

    def _fitting(self, hits: Sequence[Hit], neighbours: dict[str, Passage]) -> tuple[list[Part], int]:
        """The hits that fit whole, each with its neighbours; how many hits those are."""
        parts: list[Part] = []
        left, half, measure = self._budget, self._budget // 2, self._count or estimate_tokens
        for place, hit in enumerate(hits):
            date = date_of(hit.metadata, self._settings.date)
            own = measure(line_of(place + 1, hit.title, date, hit.text) + "\n")
            if self._count is not None and own > left:
                return parts, place
            left = max(0, left - own)
            parts.append(Part.whole(hit, place))
            if self._settings.expand and neighbours:
                room = half if self._count is None else min(half, left)
                added, tokens = beside(hit, neighbours, self._settings.expand, room, measure)
                for part in added:
                    del neighbours[part.passage.passage_id]  # once, whoever it stands beside
                parts += added
                left, half = left - tokens, half - tokens
        return parts, len(hits)
