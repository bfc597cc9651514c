"""A sentence and its citations: what each is cited for, and the sentence with others in their place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.generation.citations import CITATION, numbers_of

_WORD = re.compile(r"\w")


@dataclass
class Citing:
    """Citations that stand for one claim: characters `start` to `end` of the sentence.

    `marks`: the numbers of each pair of brackets, and the text in front of it; `claim`: what they are for.
    """

    start: int
    end: int
    marks: list[tuple[str, list[int]]]
    claim: str = ""

    @property
    def numbers(self) -> list[int]:
        """All numbers, each once."""
        return list(dict.fromkeys(number for _, numbers in self.marks for number in numbers))


@dataclass(frozen=True)
class CitedSentence:
    """A sentence with its citations, also those that follow its full stop.

    `citing`: in their order. `words`: the sentence without them. `in_code`: whether code goes on after it.
    """

    text: str
    citing: list[Citing]
    words: str
    in_code: bool

    @classmethod
    def of(cls, text: str, in_code: bool = False) -> "CitedSentence":
        """Read a sentence; in_code: it begins within code, in which brackets are no citations.

        Each citation is for the words since the one before it, the last one also for those after it, and one
        at the beginning for those that follow.
        """
        citing: list[Citing] = []
        parts, last = [""], 0  # the words in front of each citation, and after the last
        for match in CITATION.finditer(text):
            if match["code"]:
                in_code = not in_code
            elif not in_code:
                between, numbers = text[last : match.start()], numbers_of(match["numbers"], 0)
                if citing and not _WORD.search(between):
                    citing[-1].marks.append((between + match["space"], numbers))
                    citing[-1].end = match.end()
                else:
                    parts[-1] += between
                    parts.append("")
                    citing.append(Citing(match.start(), match.end(), [(match["space"], numbers)]))
                last = match.end()
        parts[-1] += text[last:]
        for place, one in enumerate(citing):
            own = parts[place] if _WORD.search(parts[place]) else parts[place + 1]
            tail = parts[-1] if place == len(citing) - 1 and own is not parts[-1] else ""
            one.claim = _plain(own + (tail if _WORD.search(tail) else ""))
        return cls(text, citing, _plain("".join(parts)), in_code)

    def with_numbers(self, kept: Sequence[Sequence[int]], added: Sequence[int] = ()) -> str:
        """The sentence with these numbers in place of those of each of `citing`; `added`: at its end."""
        text, last = "", 0
        for one, numbers in zip(self.citing, kept, strict=True):
            text += self.text[last : one.start] + _rendered(one, numbers)
            last = one.end
        text += self.text[last:]
        return f"{text} {_brackets(added)}" if added else text


def _rendered(citing: Citing, numbers: Sequence[int]) -> str:
    """The brackets that still have numbers; one that was moved stands in the first of them."""
    if list(numbers) == citing.numbers:
        marks = citing.marks
    else:
        marks = [(front, [number for number in own if number in numbers]) for front, own in citing.marks]
        known = {number for _, own in marks for number in own}
        marks[0][1].extend(number for number in numbers if number not in known)
    text = ""
    for front, own in marks:
        if own:  # the comma in front of brackets goes with them
            text += (front if text else citing.marks[0][0]) + _brackets(own)
    return text


def _brackets(numbers: Sequence[int]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _plain(text: str) -> str:
    return " ".join(text.split())
