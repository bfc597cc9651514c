"""Opening an index version: where its files are kept, whether they have their sizes, what is mapped."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from retrieval.dense import Quantizer, read_spec
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import DAMAGE_HINT, Manifest, ShardRecord, open_vectors
from retrieval.lexical import ANALYSIS, BM25, Analyzer, Statistics
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.shard_group import ShardGroup
from retrieval.search.statistics import IndexStatistics, QueryTerms
from retrieval.settings import LexicalSettings
from retrieval.storage import FileRecord, Store
from retrieval.token_codes import TokenCodec


def check_sizes(store: Store, files: Sequence[FileRecord]) -> None:
    """Sizes against the manifest, without reading: a truncated file is refused before it is mapped.

    Raises IndexDamaged.
    """
    if not store.is_local:
        return  # `local` checks every copy
    for file in files:
        path = Path(store.path(file.key))
        size = path.stat().st_size if path.is_file() else -1
        if size != file.bytes:
            found = "is missing" if size < 0 else f"has {size} bytes instead of {file.bytes}"
            raise IndexDamaged(f"{path} {found}", hint="Run `corpusmill verify` for the whole damage.")


def open_group(
    store: Store, manifest: Manifest, cache: Path, records: Sequence[ShardRecord], threads: int | None = None,
    plugins: Collection[str] = (),
) -> ShardGroup:  # fmt: skip
    """Map some shards of a version; files on object storage are copied to `cache` and checked.

    plugins: those that may be loaded. Raises IndexDamaged where a file is missing or changed, ConfigError
    where the index needs a plug-in that is not among them.
    """
    kind, spec = read_spec(manifest.dense, plugins)
    quantizer = Quantizer.open(store.local_folder(manifest.quantizer, cache), spec, kind)
    codec = bm25 = None
    if manifest.token_codec:
        codec = TokenCodec.open(store.local_folder(manifest.token_codec, cache))
    if manifest.lexical:
        lexical = LexicalSettings.model_validate(manifest.lexical["settings"])
        bm25 = BM25(lexical.k1, lexical.b, manifest.lexical["average_length"])
    shards = [Shard.open(store, manifest, record, quantizer, codec, bm25, cache) for record in records]
    return ShardGroup(shards, quantizer, spec.search, threads or len(os.sched_getaffinity(0)))


def open_statistics(store: Store, manifest: Manifest, cache: Path) -> IndexStatistics:
    """What queries need of the whole index. Raises IndexDamaged, and ConfigError for another analysis."""
    terms = mean = None
    if manifest.lexical:
        if manifest.lexical["analysis"] != ANALYSIS:
            raise ConfigError(
                f"the lexical index was made with analysis {manifest.lexical['analysis']} of text, and this "
                f"program analyses queries by {ANALYSIS}: they would not meet",
                hint="Build the index again: passages and vectors stay as they are.",
            )
        settings = LexicalSettings.model_validate(manifest.lexical["settings"])
        statistics = Statistics.open(store.local_folder(manifest.lexical_statistics, cache))
        terms = QueryTerms(Analyzer(settings), statistics)
    if manifest.background:
        path, dimension = store.local(manifest.background[0], cache), manifest.dense["dimension"]
        sample = open_vectors(path, manifest.background_rows, dimension)
        if not len(sample) or not np.isfinite(sample).all():
            raise IndexDamaged(f"{path} holds no vectors, or some that are not finite", hint=DAMAGE_HINT)
        mean = sample.mean(axis=0, dtype=np.float32)
    perfect = 1.0 if manifest.dense["metric"] == "cosine" else None
    return IndexStatistics(terms, mean, perfect)
