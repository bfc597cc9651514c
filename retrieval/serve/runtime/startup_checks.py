"""Before a version answers: its files are what the manifest says, and its shards find what is in them."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from retrieval.errors import ConfigError, CorpusmillError, IndexDamaged
from retrieval.format import Manifest, ShardRecord
from retrieval.generation.context import check_date
from retrieval.search import QueryPath
from retrieval.search.shards import ShardGroup
from retrieval.serve.errors import Unavailable
from retrieval.serve.logs import log
from retrieval.storage import FileRecord, Store, damaged_copy, sha256_of

REPAIR = "Run `corpusmill verify` on the index; the version that was served before goes on."
READERS = 4  # files that are read at a time
ROWS = 8  # of a shard that look for themselves
CHARACTERS = 200  # of a passage that are searched for


@contextmanager
def opening_version(version: int) -> Iterator[None]:
    """Makes IndexDamaged of what libraries raise over files that are not what they seem."""
    try:
        yield
    except CorpusmillError:
        raise
    except Exception as error:
        log.exception("version %s cannot be opened", version)
        what = f"the version cannot be used: {type(error).__name__}: {error}"
        raise IndexDamaged(what[:500]) from error


def served_files(manifest: Manifest, shards: Sequence[ShardRecord]) -> list[FileRecord]:
    """The files that serving these shards reads."""
    records = [
        *manifest.quantizer,
        *manifest.model_files,
        *manifest.lexical_statistics,
        *manifest.token_codec,
    ]
    for shard in shards:
        records += [*shard.passages, *shard.dense, *shard.lexical]
        for part in manifest.parts[shard.first_part : shard.end_part]:
            records += [part.vectors, *part.tokens]
    return records


def check_files(store: Store, records: Sequence[FileRecord], known: set[FileRecord], cache: Path) -> None:
    """Re-read what is not `known` yet against its checksum, and add it there. Raises IndexDamaged.

    On object storage this is done where files are copied to the cache; a copy that is there already is read
    again, and fetched again if it is damaged.
    """

    def check(record: FileRecord) -> FileRecord:
        if not store.is_local:
            damaged_copy(record, cache)
            return record
        path = Path(store.path(record.key))
        if not path.is_file() or sha256_of(path) != record.sha256:
            raise IndexDamaged(f"{path} is missing, or differs from its checksum", hint=REPAIR)
        return record

    new = {record.key: record for record in records if record not in known}
    with ThreadPoolExecutor(READERS) as pool:
        known.update(pool.map(check, new.values()))


def check_shards(group: ShardGroup) -> None:
    """Look some passages of every shard up by their own vectors. Raises IndexDamaged.

    Codes are lossy, so one may miss itself: half of them have to find something at least as near.
    """
    for shard in group.shards:
        if not shard.rows:
            continue
        own = np.unique(np.linspace(0, shard.rows - 1, ROWS).astype(np.int64))
        vectors = shard.vectors.take(own).astype(np.float32)
        scores, rows = shard.dense.search(vectors, 1, parameters=group.parameters)
        least = np.einsum("nd,nd->n", vectors, vectors)
        found = np.count_nonzero((rows[:, 0] >= 0) & (scores[:, 0] >= least - 1e-3 * np.abs(least)))
        if 2 * found < len(own):
            raise IndexDamaged(
                f"shard {shard.name} finds {found} of {len(own)} of its own passages", hint=REPAIR
            )
        shard.passages.get(rows[rows >= 0])


def check_search(path: QueryPath) -> None:
    """Search for the beginning of a version's first passage.

    Raises IndexDamaged where it is not found, Unavailable where the version is not open everywhere.
    """
    text = _first(path)
    if not text.strip("\0 \n\t"):
        return
    [result] = path.batch([text], 1, rerank="none")
    version = path.manifest.version
    if not result.coverage.full:
        raise Unavailable(f"version {version} is not open everywhere: {result.coverage.missing}")
    if not result.hits:
        raise IndexDamaged(f"version {version} does not find its own first passage")


def tell_unknown_date(manifest: Manifest, name: str | None) -> None:
    """Log that answers tell no date, where the configuration names one that the version does not have."""
    try:
        check_date(name, manifest.metadata)
    except ConfigError as error:
        log.warning("version %s: generation.%s %s", manifest.version, error.message, error.hint)


def probe(path: QueryPath) -> None:
    """A search by the index's own settings, for what no cache knows.

    Raises what a search raises, and Unavailable where no shard answers.
    """
    [result] = path.batch([f"{_first(path)} {uuid.uuid4().hex}"], 1)
    if result.coverage.missing and not result.coverage.searched:
        raise Unavailable("no shard answers")


def _first(path: QueryPath) -> str:
    """The beginning of the first passage; empty where there is none, or its shard does not answer."""
    found = path.passages(np.zeros((1, 1), np.int64))
    return "".join(passage.text[:CHARACTERS] for passage in found.values())
