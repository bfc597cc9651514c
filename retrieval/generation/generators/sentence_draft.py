"""One sentence of a text that a model writes piece by piece."""

from collections.abc import Sequence

from retrieval.generation.generators.stop_texts import StopFilter
from retrieval.generation.generators.written import Draft, Token
from retrieval.text import sentences


class SentenceDraft:
    """Takes tokens until their text holds a whole sentence and the beginning of the next."""

    def __init__(self, stops: Sequence[str], most: int) -> None:
        """stops: texts at which the answer ends. most: tokens that may come."""
        self._stops = StopFilter(stops)
        self._most = most
        self._tokens: list[Token] = []
        self._text = ""

    def feed(self, token: Token) -> bool:
        """Whether the sentence is complete."""
        self._tokens.append(token)
        self._text += self._stops.feed(token.text)
        return self._stops.stopped or len(sentences(self._text)) > 1

    def finish(self) -> Draft:
        """The sentence, with the space around it taken away."""
        self._text += self._stops.finish()
        spans = sentences(self._text)
        if not spans:
            return Draft("", (), ended=True)
        end, kept, length = spans[0][1], [], 0
        for token in self._tokens:
            if length >= end:
                break
            kept.append(token)
            length += len(token.text)
        ended = len(spans) == 1 and (self._stops.stopped or len(self._tokens) < self._most)
        return Draft(self._text[spans[0][0] : end], tuple(kept), ended)
