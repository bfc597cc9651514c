"""What the files of a version must hold, and the recount of one file against it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.rejects import SUFFIX, count_rejects
from retrieval.dense.lists import HEADER
from retrieval.late_interaction.stored import OFFSETS
from retrieval.lexical.postings import HEADER as POSTINGS
from retrieval.lexical.statistics import STATISTICS_HEADER
from retrieval.manifest import Manifest
from retrieval.parts import part_table
from retrieval.passages import BATCH_ROWS
from retrieval.storage import FileRecord, Store


@dataclass(frozen=True)
class Expected:
    """A file and what it holds: `counts` by name, of the `kind` of file; other files have only bytes."""

    file: FileRecord
    kind: str = ""
    counts: tuple[tuple[str, int], ...] = ()

    def plain(self) -> dict[str, Any]:
        """Plain JSON, for a task."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Expected":
        """Inverse of `plain`."""
        counts = tuple((name, count) for name, count in values["counts"])
        return cls(FileRecord(**values["file"]), values["kind"], counts)


def expectations(manifest: Manifest) -> list[Expected]:
    """Every artefact of a version, once."""
    found = {item.file.key: item for item in _counted(manifest)}
    return [found.get(file.key, Expected(file)) for file in manifest.files()]


def problem(store: Store, item: Expected) -> str | None:
    """What is wrong with a file, re-read in full and counted again; None if nothing is."""
    damage = store.check(item.file)
    if damage or not item.kind:
        return damage
    try:
        with store.fs.open(store.path(item.file.key), "rb") as file:
            counted = _COUNTERS[item.kind](file)
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        return f"cannot be read: {error}"
    for name, wanted in item.counts:
        if counted[name] != wanted:
            return f"holds {counted[name]} {name}, the manifest says {wanted}"
    return None


def _counted(manifest: Manifest) -> Iterator[Expected]:
    for entry in manifest.slices:
        for file in entry.files:
            if file.key.endswith(SUFFIX):
                yield Expected(file, "rejects", (("rejected", entry.rejected),))
    for part in manifest.parts:
        yield Expected(part.passages, "parquet", (("passages", part.rows), ("documents", part.documents)))
        # Parts of one content share their vectors.
        yield Expected(part.vectors, "vectors", (("vectors", part.rows),))
        for file in part.tokens:
            if file.key.endswith(f"/{OFFSETS}"):  # one more than there are passages
                yield Expected(file, "vectors", (("vectors", part.rows + 1),))
    for shard in manifest.shards:
        yield Expected(shard.passages[0], "arrow", (("passages", shard.rows),))
        for file in shard.dense:
            if file.key.endswith(f"/{HEADER}"):
                yield Expected(file, "dense", (("vectors", shard.rows),))
        for file in shard.lexical:
            if file.key.endswith(f"/{POSTINGS}"):
                yield Expected(file, "lexical", (("passages", shard.rows),))
    for file in manifest.lexical_statistics:
        if file.key.endswith(f"/{STATISTICS_HEADER}"):
            yield Expected(file, "lexical", (("passages", manifest.passages),))


def _rejects(file: BinaryIO) -> dict[str, int]:
    return {"rejected": count_rejects(file)}


def _parquet(file: BinaryIO) -> dict[str, int]:
    numbers = part_table(file, ["passage"]).column("passage")
    # The first passage of a document has the number 0.
    return {"passages": len(numbers), "documents": pc.sum(pc.equal(numbers, 0)).as_py() or 0}


def _vectors(file: BinaryIO) -> dict[str, int]:
    np.lib.format.read_magic(file)
    shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return {"vectors": shape[0]}


def _arrow(file: BinaryIO) -> dict[str, int]:
    reader = pa.ipc.open_file(file)
    batches = reader.num_record_batches
    last = reader.get_batch(batches - 1).num_rows if batches else 0
    return {"passages": max(batches - 1, 0) * BATCH_ROWS + last}


def _dense(file: BinaryIO) -> dict[str, int]:
    return {"vectors": int(json.load(file)["vectors"])}


def _lexical(file: BinaryIO) -> dict[str, int]:
    return {"passages": int(json.load(file)["passages"])}


_COUNTERS: dict[str, Callable[[BinaryIO], dict[str, int]]] = {
    "rejects": _rejects, "parquet": _parquet, "vectors": _vectors, "arrow": _arrow, "dense": _dense,
    "lexical": _lexical,
}  # fmt: skip
