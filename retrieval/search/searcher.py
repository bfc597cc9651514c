"""Search in one index version, in one process."""

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import torch

from retrieval.format import Manifest, read_manifest
from retrieval.models import OPENED, Trust
from retrieval.search.query_path import QueryPath
from retrieval.search.search_models import Models
from retrieval.search.shards import check_sizes, open_group, open_statistics
from retrieval.settings import SearchSettings
from retrieval.storage import Store, default_cache


class Searcher(QueryPath):
    """Opens an index and searches it; a context manager. Safe to use from several threads.

    `manifest`: of the version. `settings`: stages and depths, as the index's configuration says.
    """

    def __init__(
        self, store: Store, manifest: Manifest, cache: Path, threads: int | None = None,
        say: Callable[[str], None] = lambda _text: None, settings: SearchSettings | None = None,
        models: Models | None = None, trust: Trust = OPENED, plugins: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Open every shard of a version; files on object storage are copied to `cache` and checked.

        Models are loaded when a search first needs them; `models` of another version may serve.
        `threads` bounds what the process computes with: FAISS and torch keep one number for all that use
        them. `trust`: what the models may do. Raises IndexDamaged where a file is missing or changed,
        ModelError where the model of the index is not here, is another one by that name, or is refused,
        ConfigError where the index needs a plug-in that `plugins` does not name.
        """
        if threads is not None:
            faiss.omp_set_num_threads(threads)
            torch.set_num_threads(threads)
        check_sizes(store, manifest.files())
        if not store.is_local:
            size = sum(file.bytes for file in manifest.files()) / 1e6
            say(f"Version {manifest.version} of {store.url}, {size:,.0f} MB, is kept in {cache}.")
        self.shards = open_group(store, manifest, cache, manifest.shards, threads, plugins)
        self._beside = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), "lexical")
        models = models or Models(store, manifest, cache, threads, trust=trust)
        statistics = open_statistics(store, manifest, cache)
        super().__init__(manifest, self.shards, models, statistics, self._beside, settings)

    @classmethod
    def open(
        cls, url: str, *, options: dict[str, Any] | None = None, version: int | None = None,
        threads: int | None = None, say: Callable[[str], None] = lambda _text: None,
        settings: SearchSettings | None = None, trust_remote_code: bool = False, allow_pickle: bool = False,
        plugins: Collection[str] = (),
    ) -> "Searcher":  # fmt: skip
        """Open the latest version of an index, or the one named; `say` is told what takes long.

        trust_remote_code: run the Python code that the index's models bring; allow_pickle: load weights of
        theirs that are not safetensors. plugins: names of installed plug-ins that the index may load. Without
        these they are refused, whatever the index says of itself.
        Raises CorpusmillError, and as the constructor.
        """
        store = Store(str(url), options)
        manifest = read_manifest(store, version)
        trust, cache = Trust(trust_remote_code, allow_pickle, of="index"), default_cache(store)
        return cls(store, manifest, cache, threads, say, settings, trust=trust, plugins=plugins)

    def __enter__(self) -> "Searcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap all files."""
        self._beside.shutdown()
        self.shards.close()
