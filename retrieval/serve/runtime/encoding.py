"""Queries of many requests embedded together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from retrieval.deadline import Deadline, within
from retrieval.search import QueryModels
from retrieval.serve.runtime.batching import Batcher
from retrieval.serve.runtime.served_index import thread_pool
from retrieval.serve.settings import ServeSettings

Encoded = tuple[np.ndarray, set[int]]  # vectors (q, d) float32, places of the queries that were cut
_CHARACTERS = 4  # of a token, roughly: what a batch is measured by, before anything is tokenized
_SPECIAL = 8  # tokens that every text takes


@dataclass(frozen=True)
class Asked:
    """Queries of one request."""

    version: int
    queries: list[str]
    deadline: Deadline


def size_of(queries: Sequence[str]) -> int:
    """About how many tokens these queries have."""
    return sum(_SPECIAL + len(text) // _CHARACTERS for text in queries)


class Encoding:
    """Embeds queries of many requests; see Batcher."""

    def __init__(self, settings: ServeSettings, use: Callable[[int], AbstractContextManager[QueryModels]]):
        """use: the models of a version, for as long as a block lasts."""
        self._use = use
        self._most = settings.batching.tokens
        self._batcher: Batcher[Asked, Encoded] = Batcher(
            "tokens embedded", self._run, thread_pool(settings, "encode", 1),
            running=1,  # the model has the threads
            most=self._most, size=lambda asked: size_of(asked.queries), alike=lambda asked: asked.version,
        )  # fmt: skip

    async def encode(self, version: int, queries: list[str], deadline: Deadline) -> Encoded:
        """Embeddings of queries. Many of them take turns with those of other requests."""
        vectors: list[np.ndarray] = []
        cut: set[int] = set()
        first = 0
        for part in self._parts(queries):
            found, places = await self._batcher.ask(Asked(version, part, deadline), deadline)
            vectors.append(found)
            cut |= {first + place for place in places}
            first += len(part)
        return np.concatenate(vectors), cut

    def _parts(self, queries: list[str]) -> Iterator[list[str]]:
        """Queries in their order, in parts that fill a batch, or of one longer query."""
        part: list[str] = []
        size = 0
        for query in queries:
            own = size_of([query])
            if part and size + own > self._most:
                yield part
                part, size = [], 0
            part.append(query)
            size += own
        yield part

    def _run(self, asked: Sequence[Asked]) -> list[Encoded | Exception]:
        deadline = Deadline(of=[one.deadline for one in asked])
        with self._use(asked[0].version) as models, within(deadline):
            vectors, cut = models.encode([text for one in asked for text in one.queries])
        found: list[Encoded | Exception] = []
        first = 0
        for one in asked:
            end = first + len(one.queries)
            found.append((vectors[first:end], {place - first for place in cut if first <= place < end}))
            first = end
        return found
