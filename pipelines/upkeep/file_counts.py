"""What the files of a version must hold, and the recount of one file against it."""

import os
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.parts import PART_DAMAGE, REJECTS_SUFFIX, count_rejects, read_columns
from retrieval.dense import SHARD_HEADER, TYPES, read_spec
from retrieval.errors import CorpusmillError
from retrieval.format import BATCH_ROWS, MOST_HEADER, ArrowBlocks, Manifest, npy_shape
from retrieval.lexical import POSTINGS_HEADER as POSTINGS
from retrieval.lexical import STATISTICS_HEADER
from retrieval.storage import MOST_JSON_BYTES, Count, FileRecord, Shape, Store, read_json_as
from retrieval.token_codes import OFFSETS

Counts = dict[str, int]


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


def expectations(manifest: Manifest, plugins: Collection[str] = ()) -> list[Expected]:
    """Every artefact of a version, once. plugins: those that may be asked what their files hold."""
    found = {item.file.key: item for item in _counted(manifest, _row_bytes(manifest, plugins))}
    return [found.get(file.key, Expected(file)) for file in manifest.files()]


def problem(store: Store, item: Expected) -> str | None:
    """What is wrong with a file, re-read in full and counted again; None if nothing is."""
    damage = store.check(item.file)
    if damage or not item.kind:
        return damage
    try:
        with store.fs.open(store.path(item.file.key), "rb") as file:
            counted = _COUNTERS[item.kind](file, dict(item.counts))
    except (*PART_DAMAGE, struct.error, CorpusmillError) as error:
        return f"cannot be read: {ascii(str(error)[:200])[1:-1]}"
    for name, wanted in item.counts:
        if counted[name] != wanted:
            return f"holds {counted[name]} {name}, the manifest says {wanted}"
    return None


def _row_bytes(manifest: Manifest, plugins: Collection[str]) -> dict[str, int]:
    """Bytes a row of files of the dense index; none of a plug-in that may not be asked."""
    if manifest.dense["type"] not in [*TYPES.built_in(), *plugins]:
        return {}
    kind, spec = read_spec(manifest.dense, plugins)
    return kind.row_bytes(spec)


def _counted(manifest: Manifest, row_bytes: dict[str, int]) -> Iterator[Expected]:
    for entry in manifest.slices:
        for file in entry.files:
            if file.key.endswith(REJECTS_SUFFIX):
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
            if file.key.endswith(f"/{SHARD_HEADER}"):
                yield Expected(file, "dense", (("vectors", shard.rows),))
            elif each := row_bytes.get(file.key.rpartition("/")[2]):
                yield Expected(file, "sized", (("bytes", shard.rows * each),))
        for file in shard.lexical:
            if file.key.endswith(f"/{POSTINGS}"):
                yield Expected(file, "lexical", (("passages", shard.rows),))
    if manifest.background:
        yield Expected(manifest.background[0], "vectors", (("vectors", manifest.background_rows),))
    for file in manifest.lexical_statistics:
        if file.key.endswith(f"/{STATISTICS_HEADER}"):
            yield Expected(file, "lexical", (("passages", manifest.passages),))


def _rejects(file: BinaryIO, _wanted: Counts) -> Counts:
    return {"rejected": count_rejects(file)}


def _parquet(file: BinaryIO, wanted: Counts) -> Counts:
    numbers = read_columns(file, ["passage"], wanted["passages"]).column("passage")
    # The first passage of a document has the number 0.
    return {"passages": len(numbers), "documents": pc.sum(pc.equal(numbers, 0)).as_py() or 0}


def _vectors(file: BinaryIO, _wanted: Counts) -> Counts:
    return {"vectors": npy_shape(file.read(MOST_HEADER))[0]}


def _arrow(file: BinaryIO, _wanted: Counts) -> Counts:
    reader = pa.ipc.open_file(file)
    batches = reader.num_record_batches

    def read(size: int, at: int) -> bytes:
        file.seek(at)
        return file.read(size)

    last = ArrowBlocks(read, file.seek(0, os.SEEK_END)).rows(batches - 1) if batches else 0
    return {"passages": max(batches - 1, 0) * BATCH_ROWS + last}


class _Vectors(Shape):
    vectors: Count


class _Passages(Shape):
    passages: Count


def _dense(file: BinaryIO, _wanted: Counts) -> Counts:
    return read_json_as(_Vectors, file.read(MOST_JSON_BYTES + 1), SHARD_HEADER).model_dump()


def _sized(file: BinaryIO, _wanted: Counts) -> Counts:
    return {"bytes": file.seek(0, os.SEEK_END)}


def _lexical(file: BinaryIO, _wanted: Counts) -> Counts:
    return read_json_as(_Passages, file.read(MOST_JSON_BYTES + 1), POSTINGS).model_dump()


_COUNTERS: dict[str, Callable[[BinaryIO, Counts], Counts]] = {
    "rejects": _rejects, "parquet": _parquet, "vectors": _vectors, "arrow": _arrow, "dense": _dense,
    "sized": _sized, "lexical": _lexical,
}  # fmt: skip
