"""The token encoder: texts in, a vector for each token out. Its kinds: `hidden_states`, `checkpoint`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from retrieval.errors import ModelError
from retrieval.models.errors import reading_model
from retrieval.models.late_interaction.token_vectors import TokenVectors, Vectors
from retrieval.settings import ModelSettings


@dataclass(frozen=True)
class Token:
    """A token of a passage that has a vector. `start` and `end` are characters of the passage's text.

    They are -1 for tokens of the title or the prompt, and for special tokens.
    """

    text: str
    start: int
    end: int


class TokenEncoder(ABC):
    """A model of token vectors, loaded.

    `dimension`: d. `device`, `dtype`: where and in which precision the transformer runs. `card`: kind,
    names and fingerprints of the model, as JSON.
    """

    def __init__(self, model: ModelSettings, *, device: str, dtype: torch.dtype) -> None:
        self.name = model.name
        self.device = device
        self.dtype = str(dtype).removeprefix("torch.")
        self.card: dict[str, Any] = {}
        self.dimension = 0

    @reading_model()
    def encode_queries(self, texts: Sequence[str]) -> list[Vectors]:
        """Token vectors of queries, each (t, d) float32, prompts and special tokens included.

        Raises InputError for text that is no Unicode, ModelError where a vector is not finite.
        """
        found = self._checked(self._queries(list(texts)))
        return [found[row] for row in range(len(found))]

    def encode_passages(self, titles: Sequence[str | None], texts: Sequence[str]) -> TokenVectors:
        """Token vectors of "title text" of each passage, without the tokens that the model leaves out.

        All of them are held: hand in passages some hundred at a time. Raises as `encode_queries`.
        """
        if len(titles) != len(texts):
            raise ValueError(f"{len(titles)} titles for {len(texts)} texts")
        return self._checked(self._passages([title or "" for title in titles], list(texts)))

    @abstractmethod
    def query_tokens(self, text: str) -> list[str]:
        """The tokens of a query, one for each of its vectors."""

    @abstractmethod
    def passage_tokens(self, title: str | None, text: str) -> list[Token]:
        """The tokens of a passage, one for each of its vectors."""

    @abstractmethod
    def _queries(self, texts: list[str]) -> TokenVectors: ...

    @abstractmethod
    def _passages(self, titles: list[str], texts: list[str]) -> TokenVectors: ...

    def _checked(self, found: TokenVectors) -> TokenVectors:
        if not np.isfinite(found.vectors).all():
            raise ModelError(
                f"{self.name} in {self.dtype} gives token vectors that are not finite",
                hint="Set the model's dtype to float32 (float16 overflows in some models).",
            )
        return found


def spans_in_text(texts: Sequence[str], offsets: Sequence[tuple[int, int]], prefix: int) -> list[Token]:
    """Tokens with spans in a passage's text, in front of which stand `prefix` characters."""
    return [
        Token(text, start - prefix, end - prefix) if end > start >= prefix else Token(text, -1, -1)
        for text, (start, end) in zip(texts, offsets, strict=True)
    ]
