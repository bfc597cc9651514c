"""What processes of the service hold of an index: its store, open versions of it, and their proof."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from weakref import WeakValueDictionary

from retrieval.manifest import Manifest, ShardRecord, latest_version, read_manifest
from retrieval.search.group import ShardGroup
from retrieval.search.models import Models
from retrieval.search.opening import check_sizes, default_cache, open_group
from retrieval.search.searcher import Searcher
from retrieval.serve.proof import check_files, check_shards, served_files
from retrieval.serve.settings import ServeSettings
from retrieval.serve.versions import Versions
from retrieval.storage import FileRecord, Store

log = logging.getLogger("ray.serve")


class Place:
    """An index from the view of one process."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.store = Store(settings.index, settings.storage_options)
        self.cache = default_cache(self.store.url)
        self._checked: set[FileRecord] = set()
        self._first = True
        self._models: WeakValueDictionary[str, Models] = WeakValueDictionary()
        self._lock = Lock()

    def latest(self) -> int | None:
        """The version to serve. Raises StorageError."""
        return latest_version(self.store)

    def manifest(self, version: int) -> Manifest:
        """The manifest of a version. Raises IndexDamaged."""
        return read_manifest(self.store, version)

    def check(self, manifest: Manifest, shards: Sequence[ShardRecord]) -> None:
        """Checksums of what a later version brings; a start looks at sizes alone, so that it is quick.

        Raises IndexDamaged.
        """
        records = served_files(manifest, shards)
        if self._first:
            self._checked.update(records)
            self._first = False
            return
        check_files(self.store, records, self._checked)

    def models(self, manifest: Manifest) -> Models:
        """Models of a version; versions that name the same ones share them. Raises ModelError."""
        named = (manifest.model, manifest.late_interaction, manifest.cross_encoder)
        key = json.dumps(named, sort_keys=True)
        with self._lock:
            models = self._models.get(key)
            if models is None:
                models = Models(self.store, manifest, self.cache, self.settings.threads)
                self._models[key] = models
            return models


def dealt(manifest: Manifest, number: int, groups: int) -> list[ShardRecord]:
    """The shards of group `number` of `groups`: consecutive ones, so that groups hold about the same rows."""
    total, found = manifest.passages, []
    for shard in manifest.shards:
        middle = shard.base + shard.rows / 2
        if min(groups - 1, int(middle * groups / max(1, total))) == number:
            found.append(shard)
    return found


class SearcherVersions(Versions[Searcher]):
    """Whole versions, opened in this process."""

    def __init__(self, place: Place) -> None:
        def open_(version: int) -> Searcher:
            manifest = place.manifest(version)
            place.check(manifest, manifest.shards)
            models = place.models(manifest)
            searcher = Searcher(place.store, manifest, place.cache, place.settings.threads, models=models)
            check_shards(searcher.shards)
            return searcher

        super().__init__(open_, Searcher.close)


class GroupVersions(Versions[ShardGroup]):
    """One group's share of the shards of each version."""

    def __init__(self, place: Place, number: int) -> None:
        def open_(version: int) -> ShardGroup:
            manifest = place.manifest(version)
            shards = dealt(manifest, number, place.settings.groups)
            check_sizes(place.store, served_files(manifest, shards))
            place.check(manifest, shards)
            group = open_group(place.store, manifest, place.cache, shards, place.settings.threads)
            check_shards(group)
            return group

        super().__init__(open_, ShardGroup.close)


class ModelVersions(Versions[Models]):
    """The models of each version."""

    def __init__(self, place: Place) -> None:
        super().__init__(lambda version: place.models(place.manifest(version)), lambda _models: None)


def pool(settings: ServeSettings, name: str, threads: int | None = None) -> ThreadPoolExecutor:
    """Threads for calls that compute, so that an event loop stays free."""
    return ThreadPoolExecutor(threads or settings.limits.running, name)
