"""A passage as it is read: one that was found, or several of a document that were joined."""

from collections.abc import Mapping
from dataclasses import dataclass

from retrieval.results import Hit, ReadPassage, StageScore


@dataclass(frozen=True)
class Piece:
    """A passage of the index, or what was read of it: characters of the document's text."""

    passage_id: str
    start: int
    end: int


@dataclass(frozen=True)
class ContextPassage:
    """What a judge and a generator read as one passage.

    `text` is the document's from `start` on; white space between two passages, which no passage holds, is a
    paragraph separator for each of its characters, at which every sentence ends. `best`: the best hit in it.
    `date`: as 2019-12-31, or empty. `pieces`: by their place in the document.
    """

    best: Hit
    text: str
    start: int
    date: str
    pieces: tuple[Piece, ...]

    @property
    def doc_id(self) -> str:
        """Of the document."""
        return self.best.doc_id

    @property
    def title(self) -> str:
        """Of the document."""
        return self.best.title

    @property
    def end(self) -> int:
        """The document's character after the last."""
        return self.start + len(self.text)

    @property
    def score(self) -> float:
        """Of the best hit."""
        return self.best.score

    @property
    def stages(self) -> Mapping[str, StageScore]:
        """Where the stages of the search saw the best hit."""
        return self.best.stages

    def piece_of(self, start: int, end: int) -> Piece:
        """The piece that holds most of some characters of the document; the first of those that do."""
        return max(self.pieces, key=lambda piece: min(end, piece.end) - max(start, piece.start))

    def record(self, number: int, characters: int | None = None) -> ReadPassage:
        """What an answer tells of it. characters: that were read, where not all of them were."""
        end = self.end if characters is None else self.start + characters
        ids = tuple(piece.passage_id for piece in self.pieces if piece.start < end)
        return ReadPassage(number, ids, self.doc_id, self.title, self.start, end)
