"""Where the parts of the service are: all in this process, or in deployments of their own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio.to_thread
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from retrieval.errors import CorpusmillError
from retrieval.manifest import Manifest
from retrieval.search.interfaces import QueryModels
from retrieval.search.opening import open_terms
from retrieval.search.pipeline import QueryTerms
from retrieval.search.query_path import QueryPath
from retrieval.serve.errors import Unavailable
from retrieval.serve.pieces import Place, SearcherVersions
from retrieval.serve.remote import RemoteModels
from retrieval.serve.scatter import Late, Scatter
from retrieval.serve.settings import ServeSettings
from retrieval.serve.versions import Versions

CONTROL_S = 600  # that opening and proving a version may take


class Backend(Protocol):
    """What the ingress asks. Deadlines are of time.monotonic()."""

    place: Place

    def use(self, version: int, deadline: float) -> AbstractContextManager[QueryPath]:
        """The query path of a version, which stays open for as long as the block lasts."""

    def models(self, version: int, deadline: float) -> AbstractContextManager[QueryModels]:
        """The models of a version."""

    async def prepare(self, version: int) -> None:
        """Open and prove a version beside the one that is served. Raises CorpusmillError."""

    def drop(self, version: int) -> None:
        """Close a version when its last request is done."""


class Together:
    """Everything in this process."""

    def __init__(self, settings: ServeSettings) -> None:
        self.place = Place(settings)
        self._versions = SearcherVersions(self.place)

    def use(self, version: int, deadline: float) -> AbstractContextManager[QueryPath]:
        """See Backend."""
        return self._versions.use(version)

    @contextmanager
    def models(self, version: int, deadline: float) -> Iterator[QueryModels]:
        """See Backend."""
        with self._versions.use(version) as searcher:
            yield searcher.models

    async def prepare(self, version: int) -> None:
        """See Backend. The query encoder is loaded too: no request should wait for it."""

        def work() -> None:
            with self._versions.use(version) as searcher:
                searcher.models.load("encoder")

        await anyio.to_thread.run_sync(work)

    def drop(self, version: int) -> None:
        """See Backend."""
        self._versions.drop(version)


@dataclass(frozen=True)
class Front:
    """What the ingress itself holds of a version."""

    manifest: Manifest
    terms: QueryTerms | None


class Apart:
    """Shard groups, query encoder and re-rankers behind handles."""

    def __init__(
        self, settings: ServeSettings, shards: Sequence[DeploymentHandle], encoder: DeploymentHandle,
        reranker: DeploymentHandle,
    ) -> None:  # fmt: skip
        self.place = Place(settings)
        self._shards = list(shards)
        self._encoder = encoder
        self._reranker = reranker
        self._late = Late(settings.limits.group_s)
        # A search has its dense and its lexical half under way, each waiting for all groups.
        self._beside = ThreadPoolExecutor(settings.limits.running, "lexical")
        self._fronts = Versions(self._open, self._close)

    @contextmanager
    def use(self, version: int, deadline: float) -> Iterator[QueryPath]:
        """See Backend."""
        with self._fronts.use(version) as front:
            shards = Scatter(self._shards, front.manifest, deadline, self._late)
            models = RemoteModels(self._encoder, self._reranker, version, deadline)
            yield QueryPath(front.manifest, shards, models, front.terms, self._beside)

    @contextmanager
    def models(self, version: int, deadline: float) -> Iterator[QueryModels]:
        """See Backend."""
        yield RemoteModels(self._encoder, self._reranker, version, deadline)

    async def prepare(self, version: int) -> None:
        """See Backend. Every replica that is there opens it; one that starts later does so by itself."""
        await anyio.to_thread.run_sync(self._everywhere, "prepare", version)
        await anyio.to_thread.run_sync(self._open_here, version)

    def drop(self, version: int) -> None:
        """See Backend."""
        self._fronts.drop(version)

    def _open_here(self, version: int) -> None:
        with self._fronts.use(version):
            pass

    def _open(self, version: int) -> Front:
        manifest = self.place.manifest(version)
        return Front(manifest, open_terms(self.place.store, manifest, self.place.cache))

    def _close(self, front: Front) -> None:
        """The last request on a version is done: nobody needs it elsewhere."""
        for handle in (*self._shards, self._encoder, self._reranker):
            handle.broadcast("drop", front.manifest.version)

    def _everywhere(self, method: str, version: int) -> None:
        asked: list[Any] = [
            handle.broadcast(method, version) for handle in (*self._shards, self._encoder, self._reranker)
        ]
        for response in asked:
            for found in response.results(timeout_s=CONTROL_S, return_exceptions=True):
                if isinstance(found, RayTaskError) and isinstance(found.cause, CorpusmillError):
                    raise found.cause from found
                if isinstance(found, Exception):
                    raise Unavailable(f"a replica did not open version {version}: {found}") from found
