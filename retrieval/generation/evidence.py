"""How well each sentence of the passages fits a text: MaxSim of token vectors, all passages encoded once.

The model is always the same packaged one, whatever model the index has: thresholds were measured with it, and
it is there wherever corpusmill is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.deadline import look
from retrieval.models.cross_encoders import CrossEncoder
from retrieval.models.late_interaction import TokenEncoder, TokenVectors, open_token_encoder
from retrieval.settings import CrossEncoderSettings, LateInteractionSettings, ModelSettings
from retrieval.text import sentences

MODEL = "all-MiniLM-L6-v2"
Scores = npt.NDArray[np.float32]
# Bytes of consecutive sentences that are encoded together: they stay within the window of 256 tokens in
# any script, so that no sentence but a giant is cut.
PIECE_BYTES = 700


class Readable(Protocol):
    """What a judge reads of a passage."""

    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class Sentence:
    """A sentence: the place of its passage, and its characters in that passage's text."""

    passage: int
    start: int
    end: int


class Judge:
    """The models that judge passages, loaded. Safe to use from several threads."""

    def __init__(self, tokens: TokenEncoder, cross_encoder: CrossEncoder) -> None:
        self.tokens = tokens
        self.cross_encoder = cross_encoder

    @classmethod
    def open(cls, *, threads: int | None = None) -> "Judge":
        """Load the packaged models; `threads` bounds what they compute with on a CPU. Raises ModelError."""
        packaged = ModelSettings(name=MODEL)
        tokens = open_token_encoder(LateInteractionSettings(), packaged, threads=threads)
        return cls(tokens, CrossEncoder.open(CrossEncoderSettings(), threads=threads))

    def read(self, question: str, passages: Sequence[Readable]) -> "Evidence":
        """Encode the passages and compare their sentences with the question."""
        return Evidence(self, question, passages)


class Evidence:
    """The sentences of some passages and what each has to do with a question.

    `sentences`: of all passages, in their order. `scores`: (sentences,) float32, see `similar`.
    `cosine`: largest cosine of the question with some consecutive sentences, both as mean token vectors.
    """

    def __init__(self, judge: Judge, question: str, passages: Sequence[Readable]) -> None:
        self.judge = judge
        self.question = question
        self.passages = passages
        self.sentences: list[Sentence] = []
        windows = [(place, spans) for place, found in enumerate(passages) for spans in _windows(found.text)]
        titles = [passages[place].title for place, _ in windows]
        # A window keeps its passage's text from its first character on, so that offsets only shift.
        texts = [passages[place].text[spans[0][0] : spans[-1][1]] for place, spans in windows]
        self._vectors: TokenVectors = judge.tokens.encode_passages(titles, texts)
        self._own: list[tuple[slice, slice]] = []  # vectors of each sentence, and of the title with it
        for number, (place, spans) in enumerate(windows):
            self._add(number, place, spans, titles[number], texts[number])
        query = judge.tokens.encode_queries([question])[0]
        self.scores: Scores = self._similar(query)
        self.cosine = self._best_cosine(query)

    def similar(self, text: str) -> Scores:
        """MaxSim of a text with each sentence and its title, as the mean over the text's tokens.

        (sentences,) float32, at most 1; special tokens of the text do not count.
        """
        return self._similar(self.judge.tokens.encode_queries([text])[0])

    def text_of(self, sentence: Sentence) -> str:
        """A sentence as it stands in its passage."""
        return self.passages[sentence.passage].text[sentence.start : sentence.end]

    def titled(self, sentence: Sentence) -> str:
        """A sentence with its passage's title in front, as the cross-encoder reads it."""
        title, text = self.passages[sentence.passage].title, self.text_of(sentence)
        return f"{title}. {text}" if title else text

    def _add(self, number: int, place: int, spans: Sequence[tuple[int, int]], title: str, text: str) -> None:
        look()
        base, first = spans[0][0], int(self._vectors.offsets[number])
        words = self.judge.tokens.passage_tokens(title, text)
        # The first and the last token are special; those of the title have no place in the text.
        titled = sum(word.start < 0 for word in words[1:-1])
        starts = np.array([word.start for word in words[1 + titled : -1]], np.int64) + base
        of_title = slice(first + 1, first + 1 + titled)
        for start, end in spans:
            low, high = np.searchsorted(starts, [start, end]).tolist()
            own = slice(of_title.stop + low, of_title.stop + high)
            self._own.append((own, of_title))
            self.sentences.append(Sentence(place, start, end))

    def _similar(self, query: Scores) -> Scores:
        products = query[1:-1] @ self._vectors.vectors.T
        out = np.zeros(len(self._own), np.float32)
        for number, (own, title) in enumerate(self._own):
            if own.start == own.stop or not len(products):
                continue  # punctuation alone, or beyond the window
            best = products[:, own].max(axis=1)
            if title.start < title.stop:
                best = np.maximum(best, products[:, title].max(axis=1))
            out[number] = best.mean()
        return out

    def _best_cosine(self, query: Scores) -> float:
        if not len(self._vectors):
            return 0.0
        means = np.stack([self._vectors[row].mean(axis=0) for row in range(len(self._vectors))])
        mean = query.mean(axis=0)
        norms = np.linalg.norm(means, axis=1) * np.linalg.norm(mean)
        return float((means @ mean / np.where(norms > 0, norms, 1)).max())


def _windows(text: str) -> list[list[tuple[int, int]]]:
    """Spans of the sentences of a text, in runs of at most PIECE_BYTES, or of one longer sentence."""
    runs: list[list[tuple[int, int]]] = []
    size = 0
    for start, end in sentences(text):
        length = len(text[start:end].encode("utf-8", "surrogatepass"))
        if runs and size + length <= PIECE_BYTES:
            runs[-1].append((start, end))
            size += length
        else:
            runs.append([(start, end)])
            size = length
    return runs
