"""Where the parts of the service are, as the service sees it; and the simplest place, all in this process."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import anyio.to_thread

from retrieval.deadline import Deadline
from retrieval.search import QueryModels, QueryPath
from retrieval.serve.runtime.served_index import SearcherVersions, ServedIndex, second_stage
from retrieval.serve.settings import ServeSettings


class Backend(Protocol):
    """What the ingress asks."""

    index: ServedIndex

    def use(self, version: int, deadline: Deadline) -> AbstractContextManager[QueryPath]:
        """The query path of a version, which stays open for as long as the block lasts."""

    def models(self, version: int, deadline: Deadline) -> AbstractContextManager[QueryModels]:
        """The models of a version."""

    async def prepare(self, version: int) -> None:
        """Open and prove a version beside the one that is served. Raises CorpusmillError."""

    def drop(self, version: int) -> None:
        """Close a version when its last request is done."""


class LocalBackend:
    """Everything in this process."""

    def __init__(self, settings: ServeSettings) -> None:
        self.index = ServedIndex(settings, settings.limits.cached_queries)
        self._versions = SearcherVersions(self.index)

    def use(self, version: int, deadline: Deadline) -> AbstractContextManager[QueryPath]:
        """See Backend."""
        return self._versions.use(version)

    @contextmanager
    def models(self, version: int, deadline: Deadline) -> Iterator[QueryModels]:
        """See Backend."""
        with self._versions.use(version) as searcher:
            yield searcher.models

    async def prepare(self, version: int) -> None:
        """See Backend. The models are loaded too: no request should wait for them."""

        def work() -> None:
            with self._versions.use(version) as searcher:
                for name in ("encoder", *second_stage(searcher.manifest)):
                    searcher.models.load(name)
            self._versions.keep(version)

        await anyio.to_thread.run_sync(work)

    def drop(self, version: int) -> None:
        """See Backend."""
        self._versions.drop(version)
