"""Citations in an answer: those of no given passage are taken out, the others get a quote.

An answer may come in deltas that cut a citation in two: what may still become one is held back.
"""

import re
from collections.abc import Sequence

import numpy as np

from retrieval.format import Passage
from retrieval.generation.evidence import Evidence, Sentence
from retrieval.results import Citation
from retrieval.text import sentences

_INSIDE = r"\s*\d{1,6}(?:\s*[,;\u2013-]\s*\d{1,6}){0,15}\s*"
_CITATION = re.compile(rf"(?P<space>\s*)\[(?P<numbers>{_INSIDE})\]|(?P<code>`)")
# The longest thing that is held back: white space in front of a citation, and a citation so far.
_UNFINISHED = re.compile(r"\s*\[[\s\d,;\u2013-]{0,120}$|\s+$")
_CUT_SHORT = re.compile(r"\s*\[\s*\d[\s\d,;\u2013-]*$")
_KEPT = re.compile(rf"\s*\[({_INSIDE})\]")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w")


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
        return _CITATION.sub(self._replace, text)

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


def cited_claims(text: str) -> dict[int, list[str]]:
    """What an answer says by each number that it cites: sentences without their citations."""
    claims: dict[int, list[str]] = {}
    before = ""
    for start, end in sentences(text):
        plain = _KEPT.sub("", text[start:end]).strip()
        claim = plain if _WORD.search(plain) else before
        leading = start
        for match in _KEPT.finditer(text, start, end):
            # "... in 1973. [1]" cites the sentence in front.
            in_front = bool(before) and match.start() == leading
            leading = match.end() if in_front else -1
            for number in numbers_of(match[1], 0):
                claims.setdefault(number, []).append(before if in_front else claim)
        before = claim
    return claims


def cite(text: str, evidence: Evidence, passages: Sequence[Passage]) -> list[Citation]:
    """A citation for every number in a checked answer, by number, with its best quote."""
    found = []
    for number, claims in sorted(cited_claims(text).items()):
        own = [place for place, s in enumerate(evidence.sentences) if s.passage == number - 1]
        if not own:
            continue
        # A short answer says little by itself; with the question it says what to look for.
        texts = {f"{claim} {evidence.question}".strip() for claim in claims}
        scores = np.max([evidence.similar(claim)[own] for claim in texts], axis=0)
        found.append(quote(evidence.sentences[own[int(scores.argmax())]], passages))
    return found


def quote(sentence: Sentence, passages: Sequence[Passage]) -> Citation:
    """The citation of a sentence."""
    passage = passages[sentence.passage]
    return Citation(
        number=sentence.passage + 1,
        passage_id=passage.passage_id,
        doc_id=passage.doc_id,
        title=passage.title,
        quote=passage.text[sentence.start : sentence.end],
        start=passage.start + sentence.start,
        end=passage.start + sentence.end,
    )


def attribute(text: str, evidence: Evidence) -> Sentence | None:
    """The sentence that an answer without citations was taken from, None where none says its words.

    Small models answer in a few words and do not cite. At least MOST_OF of the answer's words must stand
    in the sentence; among several the one that fits question and answer best.
    """
    wanted = _words(text)
    if not wanted:
        return None
    shares = np.array(
        [len(wanted & _words(evidence.text_of(s))) / len(wanted) for s in evidence.sentences], np.float32
    )
    scores = np.where(shares >= MOST_OF, evidence.similar(f"{text} {evidence.question}") + shares, -1)
    return evidence.sentences[int(scores.argmax())] if (scores > 0).any() else None


MOST_OF = 0.75


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
