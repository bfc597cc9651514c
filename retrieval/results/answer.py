"""An answer, and what it cites."""

from dataclasses import dataclass

from retrieval.results.record import Record
from retrieval.results.search_result import Coverage


@dataclass(frozen=True)
class Citation(Record):
    """A passage that an answer cites. `number` is its place in the prompt, from 1.

    `quote`: the sentence of the passage that supports the answer best, exactly as it stands there;
    `start` and `end`: its characters in the document's text. `passage_id`: of joined passages, the one that
    holds most of the quote.
    """

    number: int
    passage_id: str
    doc_id: str
    title: str
    quote: str
    start: int
    end: int


@dataclass(frozen=True)
class Step(Record):
    """A search for an answer. `reason`: question, follow-up, sub-question, hop (what the best sentence of a
    passage adds to the question) or uncertain (a draft was).

    `passages`: ids of those found, best first. `text`: the sentence that the search was made of, or what was
    answered from it; `probability`: of the draft's least likely word; `cited`: ids of the passages that hold
    what was answered.
    """

    reason: str
    query: str
    version: int
    passages: tuple[str, ...]
    text: str | None = None
    probability: float | None = None
    cited: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TokenWeight(Record):
    """A piece of an answer, and the share of each passage in it, by number."""

    text: str
    weights: tuple[float, ...]


@dataclass(frozen=True)
class ReadPassage(Record):
    """What was read as one passage; `number` is that of citations.

    `passage_ids`: those it consists of, by their place in the document: several, where passages that touch
    were joined or neighbours read with one. `start` and `end`: its characters in the document's text.
    """

    number: int
    passage_ids: tuple[str, ...]
    doc_id: str
    title: str
    start: int
    end: int


@dataclass(frozen=True)
class Claim(Record):
    """A sentence of an answer: `start` and `end` are its characters there, its citations included.

    `supported`: whether the passages that it cites, or where it cites none any passage read, are likely to
    say it. `score`: that likelihood at even odds, 0 to 1. `numbers`: that it cites, after all corrections.
    """

    start: int
    end: int
    supported: bool
    score: float
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Answer(Record):
    """An answer with its citations.

    `supported`: whether the passages are likely to hold an answer; where not, `answer` says so. `support`:
    that likelihood at even odds, 0 to 1. `extractive`: it consists of sentences of the passages.
    `removed_citations`: numbers taken out, of no given passage, or of one that does not say what it was cited
    for. `left_out`: passages that did not fit into the prompt. `tokens`: that the generator wrote, or about
    as many. `version`, `coverage`: of the search. `timings_ms`: of the searches, and context, support,
    generation, first_token, citations. `context`: what was read. `claims`: its sentences, checked.
    `moved_citations`: numbers in whose place stands now that of the passage that says it. `joined`: passages
    found that are part of another's in `context`. `near_duplicates`: those left out as copies of better ones.

    `decode`: how it was written. Where several passages were read each by itself: `weights`, the share of
    each in the answer, by number, `likelihood`, its natural logarithm, and by token `token_weights`. `steps`:
    the searches, where there was more than one, or a conversation.
    """

    question: str
    answer: str
    supported: bool
    support: float
    generator: str
    extractive: bool
    citations: tuple[Citation, ...]
    removed_citations: int
    left_out: int
    tokens: int
    version: int
    coverage: Coverage
    timings_ms: dict[str, float]
    decode: str = "prompt"
    weights: tuple[float, ...] | None = None
    likelihood: float | None = None
    token_weights: tuple[TokenWeight, ...] | None = None
    steps: tuple[Step, ...] | None = None
    context: tuple[ReadPassage, ...] = ()
    claims: tuple[Claim, ...] = ()
    moved_citations: int = 0
    joined: int = 0
    near_duplicates: int = 0

    @property
    def tokens_per_second(self) -> float:
        """From the first token on; 0 where nothing was generated."""
        ms = self.timings_ms.get("generation", 0.0) - self.timings_ms.get("first_token", 0.0)
        return 1000 * self.tokens / ms if self.tokens and ms > 0 else 0.0
