"""Search in one index version: encode the query, search every shard, re-score exactly, fetch passages."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.dense.quantizer import Quantizer
from retrieval.dense.shard import DenseShard
from retrieval.dense.spec import DenseSpec
from retrieval.encoder import Encoder
from retrieval.errors import ConfigError, IndexDamaged, ModelError
from retrieval.manifest import Manifest, ShardRecord, read_manifest
from retrieval.model_files import use_files
from retrieval.models import model_card
from retrieval.passages import Passage, Passages
from retrieval.settings import ModelSettings
from retrieval.storage import FileRecord, Store
from retrieval.vectors import ShardVectors, best

MAX_K = 10_000
MAX_QUERY_CHARACTERS = 100_000


@dataclass(frozen=True)
class Hit:
    """One result. `score` is the exact inner product of query and passage vectors; `rank` counts from 1."""

    rank: int
    score: float
    passage: Passage
    shard: str


class Searcher:
    """Opens an index and searches it; a context manager."""

    def __init__(
        self, store: Store, manifest: Manifest, cache: Path, threads: int | None = None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        """Open every shard of a version; files on object storage are copied to `cache` and checked.

        Raises IndexDamaged where a file is missing or changed, ModelError where the model of the index
        is not here or is another one by that name.
        """
        self.manifest = manifest
        self.spec = DenseSpec.model_validate(manifest.dense)
        _check_sizes(store, manifest.files())
        if not store.is_local:
            size = sum(file.bytes for file in manifest.files()) / 1e6
            say(f"Version {manifest.version} of {store.url}, {size:,.0f} MB, is kept in {cache}.")
        self._quantizer = Quantizer.open(store.local_folder(manifest.quantizer, cache), self.spec)
        self._shards = [self._open(store, shard, cache) for shard in manifest.shards]
        self._encoder = self._open_encoder(store, cache, threads or len(os.sched_getaffinity(0)))

    @classmethod
    def open(
        cls, url: str, *, options: dict[str, Any] | None = None, version: int | None = None,
        threads: int | None = None, say: Callable[[str], None] = lambda _text: None,
    ) -> "Searcher":  # fmt: skip
        """Open the latest version of an index, or the one named; `say` is told what takes long."""
        store = Store(str(url), options)
        return cls(store, read_manifest(store, version), default_cache(store.url), threads, say)

    def __enter__(self) -> "Searcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap all files."""
        for _, passages, dense in self._shards:
            passages.close()
            dense.close()

    def __call__(self, query: str, k: int = 10) -> list[Hit]:
        """The k best passages of one query."""
        return self.batch([query], k)[0]

    def batch(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best passages of each query."""
        _check(queries, k)
        if not queries:
            return []
        vectors = self._encoder.encode_queries(list(queries))
        scores, rows = self.search_vectors(vectors, k)
        return [self._hits(*pair) for pair in zip(scores, rows, strict=True)]

    def search_vectors(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact scores and passage ids of the k best, both (q, k), -1 where there are fewer.

        vectors: (q, d) float32, embedded as queries.
        """
        assigned = self._quantizer.assign(vectors, self.spec.search.nprobe) if self.spec.is_ivf else None
        found = []
        for shard, _, dense in self._shards:
            scores, rows = dense.search(vectors, k, parameters=self.spec.search, assigned=assigned)
            found.append((scores, np.where(rows >= 0, rows + shard.base, -1)))
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        rows = np.concatenate([rows for _, rows in found], axis=1)
        return best(scores, rows, k)

    def _hits(self, scores: np.ndarray, ids: np.ndarray) -> list[Hit]:
        bases = np.array([shard.base for shard, _, _ in self._shards])
        hits = []
        for rank, (score, number) in enumerate(zip(scores.tolist(), ids.tolist(), strict=True), start=1):
            if number < 0:
                break
            shard, passages, _ = self._shards[int(np.searchsorted(bases, number, side="right")) - 1]
            hits.append(Hit(rank, score, passages.get([number - shard.base])[0], shard.name))
        return hits

    def _open(
        self, store: Store, shard: ShardRecord, cache: Path
    ) -> tuple[ShardRecord, Passages, DenseShard]:
        parts = self.manifest.parts[shard.first_part : shard.end_part]
        paths = [store.local(part.vectors, cache) for part in parts]
        vectors = ShardVectors(paths, [part.rows for part in parts], self.spec.dimension)
        dense = DenseShard.open(store.local_folder(shard.dense, cache), self.spec, self._quantizer, vectors)
        if len(dense) != shard.rows:
            raise IndexDamaged(f"shard {shard.name} has {len(dense)} vectors, the manifest says {shard.rows}")
        return shard, Passages(store.local(shard.passages[0], cache), shard.rows), dense

    def _open_encoder(self, store: Store, cache: Path, threads: int) -> Encoder:
        settings = ModelSettings.model_validate(self.manifest.model["settings"])
        files = tuple(self.manifest.model_files)
        settings = use_files(settings, self.manifest.model, files, store, cache)
        here, there = model_card(settings)["query"], self.manifest.model["query"]
        if here["fingerprint"] != there["fingerprint"]:
            raise ModelError(
                f"the index was built with another model than the {here['name']} that is here",
                hint=f"It needs {there['name']} with the fingerprint {there['fingerprint'][:16]}.",
            )
        encoder = Encoder.open(settings, sides={"query"}, threads=threads)
        if encoder.dimension != self.spec.dimension:
            raise ModelError(
                f"queries have {encoder.dimension} dimensions, the index has {self.spec.dimension}",
                hint="Check model.query_name.",
            )
        return encoder


def default_cache(url: str) -> Path:
    """Where files of an index on object storage are kept on this machine."""
    root = os.environ.get("CORPUSMILL_CACHE") or Path.home() / ".cache" / "corpusmill"
    name = "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in url)
    return Path(root) / name


def _check(queries: Sequence[str], k: int) -> None:
    if not 1 <= k <= MAX_K:
        raise ConfigError(f"k is {k}; it must lie between 1 and {MAX_K}")
    for query in queries:
        if not query.strip():
            raise ConfigError("the query is empty")
        if len(query) > MAX_QUERY_CHARACTERS:
            raise ConfigError(f"a query has {len(query)} characters, more than {MAX_QUERY_CHARACTERS}")


def _check_sizes(store: Store, files: Sequence[FileRecord]) -> None:
    """Sizes against the manifest, without reading: a truncated file is refused before it is mapped."""
    if not store.is_local:
        return  # `local` checks what it fetches
    for file in files:
        path = Path(store.path(file.key))
        size = path.stat().st_size if path.is_file() else -1
        if size != file.bytes:
            found = "is missing" if size < 0 else f"has {size} bytes instead of {file.bytes}"
            raise IndexDamaged(f"{path} {found}", hint="Run `corpusmill verify` for the whole damage.")
