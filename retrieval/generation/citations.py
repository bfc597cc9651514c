"""Citations in an answer: those of no given passage are taken out, the others get a quote.

An answer may come in deltas that cut a citation in two: what may still become one is held back.
"""

import re
from collections.abc import Sequence

from retrieval.generation.context import ContextPassage
from retrieval.generation.evidence import Sentence
from retrieval.results import Citation

_INSIDE = r"\s*\d{1,6}(?:\s*[,;\u2013-]\s*\d{1,6}){0,15}\s*"
# White space is looked at from its first character on alone: a long run of it costs linear time.
CITATION = re.compile(rf"(?P<space>(?<!\s)\s+|)\[(?P<numbers>{_INSIDE})\]|(?P<code>`)")
# The longest thing that is held back: white space in front of a citation, and a citation so far.
_UNFINISHED = re.compile(r"(?:(?<!\s)\s+|)\[[\s\d,;\u2013-]{0,120}$|(?<!\s)\s+$")
_CUT_SHORT = re.compile(r"\s*\[\s*\d[\s\d,;\u2013-]*$")
_NUMBER = re.compile(r"\d+")


class CitationFilter:
    """Takes an answer piece by piece and gives it back with the citations of given passages alone.

    `removed` counts the numbers taken out. Brackets in `code` are no citations.
    """

    def __init__(self, given: int) -> None:
        """`given`: passages in the prompt; valid numbers are 1 to `given`."""
        self.removed = 0
        self._given = given
        self._held = ""
        self._in_code = False

    def feed(self, delta: str) -> str:
        """What of the answer is certain after this delta."""
        text = self._held + delta
        match = _UNFINISHED.search(text)
        cut = match.start() if match else len(text)
        self._held = text[cut:]
        return self._checked(text[:cut])

    def finish(self) -> str:
        """The rest; a citation that the end cut short is left out, and so is white space."""
        rest, self._held = _CUT_SHORT.sub("", self._held), ""
        return self._checked(rest.rstrip())

    def _checked(self, text: str) -> str:
        return CITATION.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        if match["code"]:
            self._in_code = not self._in_code
            return match[0]
        if self._in_code:
            return match[0]
        found = numbers_of(match["numbers"], self._given)
        kept = [number for number in found if 1 <= number <= self._given]
        self.removed += len(found) - len(kept)
        return f"{match['space']}[{', '.join(map(str, kept))}]" if kept else ""


def numbers_of(inside: str, given: int) -> list[int]:
    """Numbers of "1", "2, 3" or "1-3", in their order, each once; a range ends at most one beyond `given`."""
    found: dict[int, None] = {}
    for part in re.split(r"[,;]", inside):
        ends = [int(number) for number in _NUMBER.findall(part)]
        if len(ends) == 2 and ends[0] < ends[1]:
            last = max(ends[0], min(ends[1], given + 1))
            found.update(dict.fromkeys(range(ends[0], last + 1)))
        else:
            found.update(dict.fromkeys(ends))
    return list(found)


def quote(sentence: Sentence, passages: Sequence[ContextPassage]) -> Citation:
    """The citation of a sentence."""
    passage = passages[sentence.passage]
    start, end = passage.start + sentence.start, passage.start + sentence.end
    return Citation(
        number=sentence.passage + 1, passage_id=passage.piece_of(start, end).passage_id,
        doc_id=passage.doc_id, title=passage.title, quote=passage.text[sentence.start : sentence.end],
        start=start, end=end,
    )  # fmt: skip
