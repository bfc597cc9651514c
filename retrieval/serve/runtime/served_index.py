"""What processes of the service hold of an index: its store, open versions of it, and their proof."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread
from weakref import WeakValueDictionary

import numpy as np

from retrieval.errors import CorpusmillError
from retrieval.format import Manifest, ShardRecord, committed_versions, latest_version, read_manifest
from retrieval.rerankers import RERANKERS
from retrieval.search import Models, Searcher, VectorCache
from retrieval.search.shards import ShardGroup, check_sizes, open_group
from retrieval.serve.logs import log
from retrieval.serve.metrics import looked_up
from retrieval.serve.runtime.open_versions import MOST, OpenVersions
from retrieval.serve.runtime.startup_checks import check_files, check_shards, served_files
from retrieval.serve.settings import ServeSettings
from retrieval.settings import SearchSettings
from retrieval.storage import FileRecord, Store, default_cache, sweep_cache

KEPT = 2 * MOST  # versions whose files stay in the cache: some of them may have been refused
OPENING_S = 3_600  # within which a file that was copied from object storage is opened


class ServedIndex:
    """An index from the view of one process."""

    def __init__(self, settings: ServeSettings, cached_queries: int = 0) -> None:
        """cached_queries: of which the embeddings are kept."""
        self.settings = settings
        self.store = Store(settings.index, settings.storage_options)
        self.cache = default_cache(self.store)
        self.vectors = VectorCache(cached_queries, looked_up)
        self._checked: set[FileRecord] = set()
        self._models: WeakValueDictionary[str, Models] = WeakValueDictionary()
        self._lock = Lock()

    def latest(self) -> int | None:
        """The version to serve. Raises StorageError."""
        return latest_version(self.store)

    def manifest(self, version: int) -> Manifest:
        """The manifest of a version. Raises IndexDamaged."""
        return read_manifest(self.store, version)

    def check(self, manifest: Manifest, shards: Sequence[ShardRecord]) -> None:
        """Checksums of what was not checked before by this process. Raises IndexDamaged."""
        check_files(self.store, served_files(manifest, shards), self._checked, self.cache)

    def sweep(self) -> None:
        """Remove files of older versions from the cache for object storage. Nobody waits for it."""

        def work() -> None:
            try:
                latest = self.latest()
                if latest is None:
                    return
                last = [number for number in committed_versions(self.store) if number <= latest][-KEPT:]
                kept = [file for number in last for file in self.manifest(number).files()]
                freed = sweep_cache(self.cache, kept, OPENING_S)
                log.info("%.0f MB of older versions are removed from %s", freed / 1e6, self.cache)
            except (CorpusmillError, OSError) as error:
                log.warning("%s keeps files of older versions: %s", self.cache, error)

        if not self.store.is_local:
            Thread(target=work, daemon=True).start()

    def models(self, manifest: Manifest) -> Models:
        """Models of a version; versions that name the same ones share them. Raises ModelError."""
        named = (manifest.model, manifest.late_interaction, manifest.cross_encoder)
        key = json.dumps(named, sort_keys=True)
        with self._lock:
            models = self._models.get(key)
            if models is None:
                trust, threads = self.settings.trust, self.settings.threads
                models = Models(self.store, manifest, self.cache, threads, self.vectors, trust)
                self._models[key] = models
            return models


class ShardAssignment:
    """Which group has which shards: consecutive ones, so that groups hold about the same rows.

    `held`: the shards of each group.
    """

    def __init__(self, manifest: Manifest, groups: int) -> None:
        self.held: list[list[ShardRecord]] = [[] for _ in range(groups)]
        owners = []
        for shard in manifest.shards:
            middle = shard.base + shard.rows / 2
            owners.append(min(groups - 1, int(middle * groups / max(1, manifest.passages))))
            self.held[owners[-1]].append(shard)
        self._owners = np.array(owners, np.int64)
        self._bases = np.array([shard.base for shard in manifest.shards], np.int64)

    def owners(self, ids: np.ndarray) -> list[int]:
        """The groups that have these passages; -1 is none."""
        places = np.searchsorted(self._bases, ids[ids >= 0], side="right") - 1
        owners: list[int] = np.unique(self._owners[places]).tolist()
        return owners


def second_stage(manifest: Manifest) -> tuple[str, ...]:
    """The model that a search re-ranks with unless it says otherwise."""
    model = RERANKERS[SearchSettings.model_validate(manifest.search).rerank].model
    return () if model is None else (model,)


class SearcherVersions(OpenVersions[Searcher]):
    """Whole versions, opened in this process."""

    def __init__(self, index: ServedIndex) -> None:
        def open_(version: int) -> Searcher:
            manifest = index.manifest(version)
            index.check(manifest, manifest.shards)
            models = index.models(manifest)
            searcher = Searcher(index.store, manifest, index.cache, index.settings.threads, models=models,
                                plugins=index.settings.plugins)  # fmt: skip
            check_shards(searcher.shards)
            return searcher

        def close(searcher: Searcher) -> None:
            searcher.close()
            index.sweep()

        super().__init__(open_, close)


class GroupVersions(OpenVersions[ShardGroup]):
    """One group's share of the shards of each version."""

    def __init__(self, index: ServedIndex, number: int) -> None:
        def open_(version: int) -> ShardGroup:
            manifest = index.manifest(version)
            shards = ShardAssignment(manifest, index.settings.groups).held[number]
            check_sizes(index.store, served_files(manifest, shards))
            index.check(manifest, shards)
            group = open_group(index.store, manifest, index.cache, shards, index.settings.threads,
                               index.settings.plugins)  # fmt: skip
            check_shards(group)
            return group

        def close(group: ShardGroup) -> None:
            group.close()
            index.sweep()

        super().__init__(open_, close)


class ModelVersions(OpenVersions[Models]):
    """The models of each version; those that are `needed` are loaded at once."""

    def __init__(self, index: ServedIndex, needed: Callable[[Manifest], Sequence[str]]) -> None:
        def open_(version: int) -> Models:
            manifest = index.manifest(version)
            models = index.models(manifest)
            for name in needed(manifest):
                models.load(name)
            return models

        super().__init__(open_, lambda _models: None)


def thread_pool(settings: ServeSettings, name: str, threads: int | None = None) -> ThreadPoolExecutor:
    """Threads for calls that compute, so that an event loop stays free."""
    return ThreadPoolExecutor(threads or settings.limits.running, name)
