"""Queries of many requests embedded together."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from retrieval.search.interfaces import QueryModels
from retrieval.serve.batching import Batcher
from retrieval.serve.pieces import pool
from retrieval.serve.settings import ServeSettings

Encoded = tuple[np.ndarray, set[int]]  # vectors (q, d) float32, places of the queries that were cut
Asked = tuple[int, list[str]]  # a version and queries
_CHARACTERS = 4  # of a token, roughly: what a batch is measured by, before anything is tokenized
_SPECIAL = 8  # tokens that every text takes


def size_of(asked: Asked) -> int:
    """About how many tokens these queries have."""
    return sum(_SPECIAL + len(text) // _CHARACTERS for text in asked[1])


class Encoding:
    """Embeds queries of many requests; see Batcher."""

    def __init__(self, settings: ServeSettings, use: Callable[[int], AbstractContextManager[QueryModels]]):
        """use: the models of a version, for as long as a block lasts."""
        self._use = use
        self._batcher: Batcher[Asked, Encoded] = Batcher(
            "tokens embedded", self._run, pool(settings, "encode", 1), running=1,  # the model has the threads
            most=settings.batching.tokens, size=size_of, alike=lambda asked: asked[0],
        )  # fmt: skip

    async def encode(self, version: int, queries: list[str]) -> Encoded:
        """Embeddings of queries."""
        return await self._batcher.ask((version, queries))

    def _run(self, asked: Sequence[Asked]) -> list[Encoded | Exception]:
        with self._use(asked[0][0]) as models:
            vectors, cut = models.encode([text for _, texts in asked for text in texts])
        found: list[Encoded | Exception] = []
        first = 0
        for _, texts in asked:
            end = first + len(texts)
            found.append((vectors[first:end], {place - first for place in cut if first <= place < end}))
            first = end
        return found
