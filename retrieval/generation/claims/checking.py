"""An answer as it is written, its citations held back until their sentence is whole and checked.

So what was sent is never taken back: it is the beginning of the answer as it will be.
"""

import re
from collections.abc import Iterator, Sequence

from retrieval.generation.citations import CITATION, CitationFilter, quote
from retrieval.generation.claims.cited import CitedSentence
from retrieval.generation.claims.verification import CALIBRATION, ClaimEvidence, Verifier
from retrieval.generation.context import ContextPassage
from retrieval.generation.prompt import NOT_IN_PASSAGES
from retrieval.results import Citation, Claim
from retrieval.text import each_sentence

LONGEST = 2_000  # characters of a sentence that are waited for
LOOKED_AT = 3  # passages that are asked whether they say what the cited ones do not
DOUBTFUL = 0.01  # likelihood from which on a passage may say a claim in other words
MOST = 200  # sentences that are checked; what follows them in an answer cites nothing
_WORD = re.compile(r"\w")
_NONSPACE = re.compile(r"\S")


class CheckedAnswer:
    """Takes an answer piece by piece and gives it back with citations of passages that say it.

    `text`: so far. `claims`: its sentences. `removed`: numbers taken out, of no given passage, or of one that
    does not say what it was cited for. `moved`: numbers in whose place another stands. Checking a sentence
    takes the models some ms.
    """

    def __init__(self, verifier: Verifier, given: int, text: str = "", claims: Sequence[Claim] = ()) -> None:
        """given: numbers up to it are citations, others are taken out. text: what is written already, with
        its claims."""
        self.moved = 0
        self.text, self.claims = text, list(claims)
        self._verifier = verifier
        self._filter = CitationFilter(given)
        self._dropped = 0
        self._sentences = len(self.claims)
        self._open = ""  # the sentence that is being written, of which `_shown` characters are out
        self._shown = 0
        self._in_code = text.count("`") % 2 == 1

    @property
    def removed(self) -> int:
        """See the class."""
        return self._filter.removed + self._dropped

    def feed(self, delta: str) -> str:
        """What of the answer is certain after this delta."""
        return self._take(self._filter.feed(delta))

    def finish(self) -> str:
        """The rest of what was fed."""
        certain = self._take(self._filter.finish())
        return certain + self._checked(len(self._open))

    def citations(self, passages: Sequence[ContextPassage]) -> list[Citation]:
        """A citation for every number in the text, by number, with its best quote."""
        best: dict[int, tuple[float, int]] = {}
        for sentence in cited_sentences(self.text):
            for one in sentence.citing:
                claim = self._verifier.claim(one.claim)
                for number in one.numbers:
                    if number in claim.best:
                        own = (claim.fits(claim.best[number]), -claim.best[number])
                        best[number] = max(best.get(number, own), own)
        found = self._verifier.evidence.sentences
        return [quote(found[-place], passages) for _, (_, place) in sorted(best.items())]

    def _take(self, text: str) -> str:
        self._open += text
        if not self.text and not self._shown:
            self._open = self._open.lstrip()  # an answer begins with a word
        certain = ""
        while self._sentences < MOST and (end := sentence_end(self._open, self._in_code)) is not None:
            certain += self._checked(end)
        if self._sentences >= MOST:
            return certain + self._checked(len(self._open))
        first = CitedSentence.of(self._open, self._in_code).citing
        until = first[0].start if first else len(self._open)
        new = self._open[self._shown : until]
        self._shown = max(self._shown, until)
        self.text += new
        return certain + new

    def _checked(self, end: int) -> str:
        """The sentence up to `end` with its citations corrected, without what is out already."""
        whole, self._open = self._open[:end], self._open[end:]
        text = whole.lstrip()
        front = whole[: len(whole) - len(text)]
        sentence = CitedSentence.of(text, self._in_code)
        if self._sentences >= MOST:
            text = sentence.with_numbers([[] for _ in sentence.citing])
            self._dropped += sum(len(one.numbers) for one in sentence.citing)
        elif _WORD.search(sentence.words) and NOT_IN_PASSAGES not in sentence.words.casefold():
            text = self._corrected(sentence, len(self.text) - self._shown + len(front))
        self._sentences += 1
        certain, self._shown = (front + text)[self._shown :], 0
        self.text += certain
        self._in_code = sentence.in_code
        return certain

    def _corrected(self, sentence: CitedSentence, start: int) -> str:
        kept, scores, added = list[list[int]](), list[float](), list[int]()
        for one in sentence.citing:
            numbers, score = self._said_by(self._verifier.claim(one.claim), one.numbers)
            kept.append(numbers)
            scores.append(score)
        if not sentence.citing:
            claim = self._verifier.claim(sentence.words)
            found, score = self._found(claim, ())
            added = found if claim.says_something else []
            scores.append(score)
        text = sentence.with_numbers(kept, added)
        cited = tuple(dict.fromkeys(number for numbers in [*kept, added] for number in numbers))
        supported = min(scores) >= CALIBRATION.threshold
        self.claims.append(Claim(start, start + len(text), supported, round(min(scores), 4), cited))
        return text

    def _said_by(self, claim: ClaimEvidence, numbers: Sequence[int]) -> tuple[list[int], float]:
        """The numbers that a claim may cite instead of these, and how likely those passages say it."""
        alone = claim.probabilities([(number,) for number in numbers])
        kept, score = _likely(numbers, alone), max(alone)
        if not kept and len(numbers) > 1:
            score = max(score, *(together := claim.probabilities([tuple(numbers)])))
            if _likely([0], together):  # each of them says a part
                without = [tuple(other for other in numbers if other != number) for number in numbers]
                spare = _likely(numbers, claim.probabilities(without))
                kept = [number for number in numbers if number not in spare] or list(numbers)
        if kept:
            self._dropped += len(numbers) - len(kept)
            return kept, score
        found, other = self._found(claim, numbers)
        self.moved += len(found)
        if not found:  # said in other words, it may be: the claim is marked, and its citation stays
            found = [number for number, chance in zip(numbers, alone, strict=True) if chance >= DOUBTFUL]
        self._dropped += len(numbers) - len(found)
        return found, max(score, other)

    def _found(self, claim: ClaimEvidence, known: Sequence[int]) -> tuple[list[int], float]:
        """The passage that says a claim, if one of those not known does, and how likely the best one does."""
        numbers = [number for number in claim.order if number not in known][:LOOKED_AT]
        chances = claim.probabilities([(number,) for number in numbers])
        best = max(range(len(numbers)), key=chances.__getitem__, default=-1)
        if best < 0 or chances[best] < CALIBRATION.threshold:
            return [], max(chances, default=0.0)
        return [numbers[best]], chances[best]


def sentence_end(text: str, in_code: bool) -> int | None:
    """Where the first sentence ends, the citations behind it included; None while more may belong to it."""
    end = next(each_sentence(text), (0, 0))[1]
    if not CitedSentence.of(text[:end], in_code).in_code:
        while (match := CITATION.match(text, end)) and not match["code"]:
            end = match.end()  # "... in 1973. [1]" cites the sentence in front
    if _NONSPACE.search(text, end):
        return end
    return len(text) if len(text) > LONGEST else None


def cited_sentences(text: str) -> Iterator[CitedSentence]:
    """All sentences of a whole answer."""
    in_code = False
    while text:
        end = sentence_end(text, in_code) or len(text)
        sentence = CitedSentence.of(text[:end], in_code)
        yield sentence
        text, in_code = text[end:], sentence.in_code


def _likely(numbers: Sequence[int], chances: Sequence[float]) -> list[int]:
    pairs = zip(numbers, chances, strict=True)
    return [number for number, chance in pairs if chance >= CALIBRATION.threshold]
