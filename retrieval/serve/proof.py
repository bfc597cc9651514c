"""Before a version answers: its files are what the manifest says, and its shards find what is in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.errors import IndexDamaged
from retrieval.manifest import Manifest, ShardRecord
from retrieval.search.group import ShardGroup
from retrieval.storage import FileRecord, Store, sha256_of

REPAIR = "Run `corpusmill verify` on the index; the version that was served before goes on."


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


def check_files(store: Store, records: Sequence[FileRecord], known: set[FileRecord]) -> None:
    """Re-read what is not `known` yet against its checksum, and add it there. Raises IndexDamaged.

    On object storage this is done where files are copied to the cache.
    """
    for record in records:
        if not store.is_local or record in known:
            continue
        path = Path(store.path(record.key))
        if not path.is_file() or sha256_of(path) != record.sha256:
            raise IndexDamaged(f"{path} is missing, or differs from its checksum", hint=REPAIR)
        known.add(record)


def check_shards(group: ShardGroup) -> None:
    """Look a passage of every shard up by its own vector. Raises IndexDamaged."""
    for shard in group.shards:
        if not shard.rows:
            continue
        row = shard.rows // 2
        vector = shard.vectors.take(np.array([row])).astype(np.float32)
        scores, rows = shard.dense.search(vector, 1, parameters=group.parameters)
        if rows[0, 0] < 0 or not np.isfinite(scores[0, 0]):
            raise IndexDamaged(f"shard {shard.name} finds nothing near its own row {row}", hint=REPAIR)
        shard.passages.get(rows[0])
