"""Queries of many requests embedded together."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from ray import serve

from retrieval.search.interfaces import QueryModels
from retrieval.serve.pieces import pool
from retrieval.serve.settings import ServeSettings

Encoded = tuple[np.ndarray, set[int]]  # vectors (q, d) float32, places of the queries that were cut
Asked = tuple[int, list[str]]  # a version and queries
_CHARACTERS = 4  # of a token, roughly: what a batch is measured by, before anything is tokenized
_SPECIAL = 8  # tokens that every text takes


def size_of(asked: Sequence[Asked]) -> int:
    """About how many tokens these queries have."""
    return sum(_SPECIAL + len(text) // _CHARACTERS for _, texts in asked for text in texts)


class Encoding:
    """Batches queries, by version. `encode` is called from an event loop inside a Serve replica."""

    def __init__(self, settings: ServeSettings, use: Callable[[int], AbstractContextManager[QueryModels]]):
        """use: the models of a version, for as long as a block lasts."""
        self._use = use
        self._most = settings.batching.tokens
        self._pool = pool(settings, "encode", 1)  # the model itself uses the threads
        self._together.set_max_batch_size(self._most)
        self._together.set_batch_wait_timeout_s(settings.batching.wait_ms / 1000)

    async def encode(self, version: int, queries: list[str]) -> Encoded:
        """Embeddings of queries. What goes wrong with a version is raised for its own queries alone."""
        if size_of([(version, queries)]) >= self._most:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._run, version, queries)
        else:
            found = await self._together((version, queries))
        if isinstance(found, Exception):
            raise found
        return found

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0, batch_size_fn=size_of)
    async def _together(self, asked: list[Asked]) -> list[Encoded | Exception]:
        results: list[Encoded | Exception | None] = [None] * len(asked)
        for version in {version for version, _ in asked}:
            places = [place for place, (own, _) in enumerate(asked) if own == version]
            texts = [text for place in places for text in asked[place][1]]
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._pool, self._run, version, texts)
            first = 0
            for place in places:
                end = first + len(asked[place][1])
                results[place] = found if isinstance(found, Exception) else _slice(found, first, end)
                first = end
        return results  # type: ignore[return-value]

    def _run(self, version: int, texts: list[str]) -> Encoded | Exception:
        try:
            with self._use(version) as models:
                return models.encode(texts)
        except Exception as error:  # told to those who asked, not to their neighbours in the batch
            return error


def _slice(found: Encoded, first: int, end: int) -> Encoded:
    vectors, cut = found
    return vectors[first:end], {place - first for place in cut if first <= place < end}
