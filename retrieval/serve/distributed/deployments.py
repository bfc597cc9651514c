"""The parts of the service that can be processes of their own: shard groups, query encoder, re-rankers."""

import asyncio
from concurrent.futures import Executor
from typing import Any

from ray import serve

from retrieval.deadline import Deadline, within
from retrieval.search import MODEL_CALLS, SHARD_CALLS
from retrieval.serve.distributed.replica_port import keep_to_loopback
from retrieval.serve.logs import log
from retrieval.serve.runtime import (
    Encoded,
    Encoding,
    GroupVersions,
    ModelVersions,
    OpenVersions,
    ServedIndex,
    opening_version,
    second_stage,
    thread_pool,
)
from retrieval.serve.settings import ServeSettings

RERANK_CALLS = MODEL_CALLS - {"load", "encode"}  # a deployment loads by itself; EncoderServer encodes


class _Replica:
    """Holds versions of something."""

    def __init__(self, index: ServedIndex, versions: OpenVersions[Any]) -> None:
        """A replica is asked when this returns: the latest version is open by then, if it can be opened."""
        keep_to_loopback()
        self._versions = versions
        # An ingress replica that has not gone over yet asks by the version that another one has left.
        self._quiet_s = 2 * index.settings.watch_s
        self._dropping: dict[int, asyncio.Task[None]] = {}
        try:
            latest = index.latest()
            if latest is not None:
                with versions.use(latest):
                    log.info("version %s is open", latest)
        except Exception as error:  # the ingress says which version answers
            log.warning("the latest version is not open: %s: %s", type(error).__name__, error)

    async def prepare(self, version: int) -> None:
        """Open and prove a version beside those that are open. Raises CorpusmillError."""
        if version in self._dropping:
            self._dropping.pop(version).cancel()

        def work() -> None:
            with opening_version(version), self._versions.use(version):
                self._versions.keep(version)

        await asyncio.get_running_loop().run_in_executor(None, work)

    async def drop(self, version: int) -> None:
        """Close a version when nobody has asked by it for a while."""

        async def when_quiet() -> None:
            while (left := self._quiet_s - self._versions.idle_s(version)) > 0:
                await asyncio.sleep(left)
            self._versions.drop(version)
            del self._dropping[version]

        if version not in self._dropping:
            self._dropping[version] = asyncio.create_task(when_quiet())


class _Caller(_Replica):
    """Calls methods of what it holds of a version, in threads, so that health checks are answered."""

    calls: frozenset[str] = frozenset()

    def __init__(self, settings: ServeSettings, index: ServedIndex, versions: OpenVersions[Any]) -> None:
        super().__init__(index, versions)
        self._pool = thread_pool(settings, type(self).__name__)

    async def call(self, left_s: float, version: int, method: str, *args: Any) -> Any:
        """The result of one of `calls`, within `left_s` seconds and as long as the caller waits."""
        if method not in self.calls:
            raise ValueError(f"{method} is not offered")
        deadline = Deadline.after(left_s)

        def work() -> Any:
            deadline.check()
            with self._versions.use(version) as held, within(deadline):
                return getattr(held, method)(*args)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool_of(method), work)
        finally:
            deadline.cancel()

    def _pool_of(self, method: str) -> Executor:
        return self._pool


class ShardServer(_Caller):
    """One group of shards: dense lists, lexical index, passages and token codes of them together."""

    calls = SHARD_CALLS

    def __init__(self, settings: ServeSettings, number: int) -> None:
        index = ServedIndex(settings)
        super().__init__(settings, index, GroupVersions(index, number))


class RerankServer(_Caller):
    """Late interaction and the cross-encoder."""

    calls = RERANK_CALLS

    def __init__(self, settings: ServeSettings) -> None:
        index = ServedIndex(settings)
        super().__init__(settings, index, ModelVersions(index, second_stage))
        self._slow = thread_pool(settings, "slow", settings.limits.slow)

    def _pool_of(self, method: str) -> Executor:
        """Queries are embedded while others are compared with passages."""
        return self._pool if method == "encode_tokens" else self._slow


class EncoderServer(_Replica):
    """The query encoder."""

    def __init__(self, settings: ServeSettings) -> None:
        index = ServedIndex(settings)
        versions = ModelVersions(index, lambda _manifest: ("encoder",))
        super().__init__(index, versions)
        self._encoding = Encoding(settings, versions.use)

    async def encode(self, left_s: float, version: int, queries: list[str]) -> Encoded:
        """Embeddings of queries, batched with those of other requests; see `_Caller.call`."""
        deadline = Deadline.after(left_s)
        try:
            return await self._encoding.encode(version, queries, deadline)
        finally:
            deadline.cancel()


def shard_group(settings: ServeSettings, number: int) -> serve.Application:
    """A deployment for one group."""
    options = settings.shards.options(settings.limits.timeout_s)
    return serve.deployment(ShardServer, name=f"shards-{number}", **options).bind(settings, number)


def encoder(settings: ServeSettings) -> serve.Application:
    """The deployment of the query encoder."""
    options = settings.encoder.options(settings.limits.timeout_s)
    return serve.deployment(EncoderServer, name="encoder", **options).bind(settings)


def reranker(settings: ServeSettings) -> serve.Application:
    """The deployment of the re-rankers."""
    options = settings.reranker.options(settings.limits.timeout_s)
    return serve.deployment(RerankServer, name="reranker", **options).bind(settings)
