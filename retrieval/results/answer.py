"""An answer, and what it cites."""

from dataclasses import dataclass

from retrieval.results.record import Record
from retrieval.results.search_result import Coverage


@dataclass(frozen=True)
class Citation(Record):
    """A passage that an answer cites. `number` is its place in the prompt, from 1.

    `quote`: the sentence of the passage that supports the answer best, exactly as it stands there;
    `start` and `end`: its characters in the document's text.
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
    """A search for an answer. `reason`: question, follow-up, sub-question, hop (the best sentence joined to
    the question) or uncertain (a draft was).

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
class Answer(Record):
    """An answer with its citations.

    `supported`: whether the passages are likely to hold an answer; where not, `answer` says so. `support`:
    that likelihood at even odds, 0 to 1. `extractive`: it consists of sentences of the passages.
    `removed_citations`: numbers of no given passage, taken out. `left_out`: passages that were found and did
    not fit into the prompt. `tokens`: that the generator wrote, or about as many. `version`, `coverage`: of
    the search. `timings_ms`: of the searches, and support, generation, first_token, citations.

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

    @property
    def tokens_per_second(self) -> float:
        """From the first token on; 0 where nothing was generated."""
        ms = self.timings_ms.get("generation", 0.0) - self.timings_ms.get("first_token", 0.0)
        return 1000 * self.tokens / ms if self.tokens and ms > 0 else 0.0
