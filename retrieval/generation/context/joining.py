"""Parts of one document that touch or overlap become one, whose characters are still the document's."""

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.format import Passage

GAP = 16  # most characters of white space between two passages that follow each other
# Ends every sentence: what no passage holds is in no sentence, and so in no quote.
BREAK = "\u2029"


@dataclass(frozen=True)
class Part:
    """What is read of a passage: characters `start` to `end` of its document.

    `place`: of the hit that it is, in the order of reading; None: a neighbour.
    """

    passage: Passage
    start: int
    end: int
    place: int | None = None

    @classmethod
    def whole(cls, passage: Passage, place: int | None = None) -> "Part":
        """All of a passage."""
        return cls(passage, passage.start, passage.start + len(passage.text), place)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its passage."""
        return self.end - self.start == len(self.passage.text)

    @property
    def text(self) -> str:
        """These characters."""
        return self.passage.text[self.start - self.passage.start : self.end - self.passage.start]


class Run:
    """Consecutive parts of a document as one text; `text` is the document's from `start` to `end`."""

    def __init__(self, part: Part) -> None:
        self.parts = [part]
        self.start = part.start
        self.text = part.text

    @property
    def end(self) -> int:
        """The document's character after the last."""
        return self.start + len(self.text)

    @property
    def places(self) -> list[int]:
        """Of the hits in it."""
        return [part.place for part in self.parts if part.place is not None]

    def take(self, part: Part) -> bool:
        """Add a part that starts no earlier than the last one, if it touches or overlaps."""
        if not self._fits(part):
            return False
        self.text += BREAK * (part.start - self.end) + part.text[max(0, self.end - part.start) :]
        self.parts.append(part)
        return True

    def _fits(self, part: Part) -> bool:
        last = self.parts[-1]
        if part.passage.doc_id != last.passage.doc_id or not (_sound(part.passage) and _sound(last.passage)):
            return False
        if part.start > self.end:
            return _follows(last, part)
        # Two texts at the same place are not of the same document, whatever their ids say.
        shared = self.text[part.start - self.start :]
        return part.text.startswith(shared) or shared.startswith(part.text)


def runs(parts: Sequence[Part]) -> list[Run]:
    """All parts, those that touch or overlap joined."""
    found: list[Run] = []
    for part in sorted(parts, key=lambda part: (part.passage.doc_id, part.start, part.end)):
        if not (found and found[-1].take(part)):
            found.append(Run(part))
    return found


def _sound(passage: Passage) -> bool:
    """Whether its span is that of its text: an index says so, and is hostile."""
    return passage.end - passage.start == len(passage.text)


def _follows(before: Part, after: Part) -> bool:
    """Whether nothing but white space stands between two parts: their passages have neighbouring numbers."""
    whole = before.end == before.passage.end and after.start == after.passage.start
    number, following = number_of(before.passage), number_of(after.passage)
    numbered = number is not None and following == number + 1
    return whole and numbered and after.start - before.end <= GAP


def number_of(passage: Passage) -> int | None:
    """Its number in its document."""
    number = passage.passage_id.rpartition("#")[2]
    return int(number) if number.isdecimal() and len(number) < 12 else None
