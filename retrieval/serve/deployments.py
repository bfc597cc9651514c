"""The parts of the service that can be processes of their own: shard groups, query encoder, re-rankers."""

import asyncio
from typing import Any

from ray import serve

from retrieval.serve.encoding import Encoded, Encoding
from retrieval.serve.pieces import GroupVersions, ModelVersions, Place, pool
from retrieval.serve.settings import ServeSettings
from retrieval.serve.versions import Versions

SHARD_CALLS = frozenset(
    "select selected dense lexical passages find doc_ids token_scores exact_scores quantized_scores "
    "term_matches token_pairs has_tokens".split()
)
MODEL_CALLS = frozenset("encode_tokens maxsim token_shares cross_scores".split())


class _Replica:
    """Calls methods of what it holds of a version, in threads, so that health checks are answered."""

    calls: frozenset[str] = frozenset()

    def __init__(self, settings: ServeSettings, versions: Versions[Any]) -> None:
        self._versions = versions
        self._pool = pool(settings, type(self).__name__)

    async def call(self, version: int, method: str, *args: Any, **kwargs: Any) -> Any:
        """The result of one of `calls`."""
        if method not in self.calls:
            raise ValueError(f"{method} is not offered")

        def work() -> Any:
            with self._versions.use(version) as held:
                found = getattr(held, method)
                return found(*args, **kwargs) if callable(found) else found

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def prepare(self, version: int) -> None:
        """Open and prove a version beside those that are open."""

        def work() -> None:
            with self._versions.use(version):
                self._versions.keep(version)

        await asyncio.get_running_loop().run_in_executor(None, work)

    async def drop(self, version: int) -> None:
        """Close a version when its last request is done."""
        self._versions.drop(version)


class ShardServer(_Replica):
    """One group of shards: dense lists, lexical index, passages and token codes of them together."""

    calls = SHARD_CALLS

    def __init__(self, settings: ServeSettings, number: int) -> None:
        super().__init__(settings, GroupVersions(Place(settings), number))

    async def call(self, version: int, method: str, *args: Any, **kwargs: Any) -> Any:
        """As in the base; a selection itself stays here."""
        found = await super().call(version, method, *args, **kwargs)
        return None if method == "select" else found


class RerankServer(_Replica):
    """Late interaction and the cross-encoder."""

    calls = MODEL_CALLS

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__(settings, ModelVersions(Place(settings)))


class EncoderServer(_Replica):
    """The query encoder."""

    def __init__(self, settings: ServeSettings) -> None:
        versions = ModelVersions(Place(settings))
        super().__init__(settings, versions)
        self._encoding = Encoding(settings, versions.use)

    async def encode(self, version: int, queries: list[str]) -> Encoded:
        """Embeddings of queries, batched with those of other requests."""
        return await self._encoding.encode(version, queries)


def shard_group(settings: ServeSettings, number: int) -> serve.Application:
    """A deployment for one group."""
    options = settings.shards.options()
    return serve.deployment(ShardServer, name=f"shards-{number}", **options).bind(settings, number)


def encoder(settings: ServeSettings) -> serve.Application:
    """The deployment of the query encoder."""
    return serve.deployment(EncoderServer, name="encoder", **settings.encoder.options()).bind(settings)


def reranker(settings: ServeSettings) -> serve.Application:
    """The deployment of the re-rankers."""
    return serve.deployment(RerankServer, name="reranker", **settings.reranker.options()).bind(settings)
