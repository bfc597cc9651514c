"""The parts of the service in deployments of their own: shard groups, query encoder, re-rankers."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import anyio.to_thread
from ray.exceptions import RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from retrieval.deadline import Deadline
from retrieval.errors import CorpusmillError
from retrieval.format import Manifest
from retrieval.search import IndexStatistics, QueryModels, QueryPath, model_name
from retrieval.search.shards import open_statistics
from retrieval.serve.distributed.remote import RemoteModels
from retrieval.serve.distributed.scatter import LateGroups, Scatter
from retrieval.serve.errors import Unavailable
from retrieval.serve.logs import log
from retrieval.serve.runtime import OpenVersions, ServedIndex, ShardAssignment
from retrieval.serve.settings import ServeSettings

CONTROL_S = 600  # that opening and proving a version may take


@dataclass(frozen=True)
class IngressVersion:
    """What the ingress itself holds of a version."""

    manifest: Manifest
    assignment: ShardAssignment
    statistics: IndexStatistics
    model: str


class RayBackend:
    """Shard groups, query encoder and re-rankers behind handles."""

    def __init__(
        self, settings: ServeSettings, shards: Sequence[DeploymentHandle], encoder: DeploymentHandle,
        reranker: DeploymentHandle,
    ) -> None:  # fmt: skip
        self.index = ServedIndex(settings, settings.limits.cached_queries)
        self._shards = list(shards)
        self._encoder = encoder
        self._reranker = reranker
        self._late = LateGroups(min(settings.limits.group_s, 0.4 * settings.limits.timeout_s))
        # A search has its dense and its lexical half under way, each waiting for all groups.
        self._beside = ThreadPoolExecutor(settings.limits.running, "lexical")
        self._opened = OpenVersions(self._open, self._close)

    @contextmanager
    def use(self, version: int, deadline: Deadline) -> Iterator[QueryPath]:
        """See Backend."""
        with self._opened.use(version) as opened:
            shards = Scatter(self._shards, opened.manifest, opened.assignment, deadline, self._late)
            models = self._models(opened, deadline)
            yield QueryPath(opened.manifest, shards, models, opened.statistics, self._beside)

    @contextmanager
    def models(self, version: int, deadline: Deadline) -> Iterator[QueryModels]:
        """See Backend."""
        with self._opened.use(version) as opened:
            yield self._models(opened, deadline)

    def _models(self, opened: IngressVersion, deadline: Deadline) -> RemoteModels:
        version, known = opened.manifest.version, self.index.vectors
        return RemoteModels(self._encoder, self._reranker, version, deadline, opened.model, known)

    async def prepare(self, version: int) -> None:
        """See Backend. Every replica that is there opens it; one that starts later does so by itself."""
        await anyio.to_thread.run_sync(self._everywhere, "prepare", version)
        await anyio.to_thread.run_sync(self._open_here, version)

    def drop(self, version: int) -> None:
        """See Backend. What could not be opened here may be open elsewhere."""
        if not self._opened.drop(version):
            self._tell(version)

    def _open_here(self, version: int) -> None:
        with self._opened.use(version):
            self._opened.keep(version)

    def _open(self, version: int) -> IngressVersion:
        manifest = self.index.manifest(version)
        self.index.check(manifest, [])
        statistics = open_statistics(self.index.store, manifest, self.index.cache)
        return IngressVersion(
            manifest, ShardAssignment(manifest, len(self._shards)), statistics, model_name(manifest)
        )

    def _close(self, opened: IngressVersion) -> None:
        """The last request on a version is done: nobody needs it elsewhere."""
        self._tell(opened.manifest.version)

    def _tell(self, version: int) -> None:
        """Have a version dropped everywhere; nobody waits for that."""

        def tell() -> None:
            if self._opened.wanted(version):
                return  # it answers again
            try:
                self._everywhere("drop", version)
            except CorpusmillError as error:
                log.warning("version %s is not dropped everywhere: %s", version, error.message)

        threading.Thread(target=tell, daemon=True).start()

    def _everywhere(self, method: str, version: int) -> None:
        """Call a method of every replica that is there, side by side. Raises CorpusmillError."""
        handles = (*self._shards, self._encoder, self._reranker)

        def call(handle: DeploymentHandle) -> None:
            try:
                response = handle.broadcast(method, version)
                replies = response.results(timeout_s=CONTROL_S, return_exceptions=True)
            except (RayServeException, TimeoutError) as error:
                name = type(error).__name__
                raise Unavailable(f"{method} of version {version} reaches no replica: {name}") from error
            for found in replies:
                if isinstance(found, RayTaskError) and isinstance(found.cause, CorpusmillError):
                    raise found.cause from found
                if isinstance(found, Exception):
                    name = type(found).__name__
                    raise Unavailable(f"{method} of version {version} failed in a replica: {name}") from found

        with ThreadPoolExecutor(len(handles)) as pool:
            list(pool.map(call, handles))
