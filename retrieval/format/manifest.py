"""The manifest of an index version: everything that it consists of, and what it cost to build."""

import hashlib
import json
import re
from bisect import bisect_right
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from retrieval.errors import CorpusmillError, IndexDamaged
from retrieval.format import manifest_shapes as shapes
from retrieval.format.manifest_shapes import Amount, MetadataKind
from retrieval.storage import Count, FileRecord, Store, parse_json, validated_json

FORMAT = 3
LATEST = "LATEST"
VERSIONS = "versions"
MOST_BYTES = 256 << 20  # of a manifest: more than 65,000 parts, which are all that a process can map
MOST_VALUES = 5_000_000
_VERSION = re.compile(rb"([0-9]{1,12})\s*")  # of LATEST
_NAME = re.compile(rf"{VERSIONS}/([0-9]{{6,12}})\.json")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class PartRecord(_Record):
    """Passages of a slice and their vectors. `rows` counts passages."""

    name: str
    rows: Count
    documents: Count
    truncated: Count
    content: str
    passages: FileRecord
    vectors: FileRecord
    vectors_marker: FileRecord
    tokens: list[FileRecord] = []  # token codes, their offsets and marker, where the index stores them


class SliceRecord(_Record):
    """What reading one slice gave; read = documents + rejected, which verification checks."""

    key: str
    read: Count
    documents: Count
    rejected: Count
    parts: Count
    files: list[FileRecord]  # markers, rejects and id hashes


class ShardRecord(_Record):
    """Consecutive parts [first_part, end_part) as one searchable range of rows [base, base + rows)."""

    name: str
    base: Count
    rows: Count
    first_part: Count
    end_part: Count
    content: list[str]
    passages: Annotated[list[FileRecord], Field(min_length=1)]  # the Arrow file and its marker
    dense: list[FileRecord]
    lexical: list[FileRecord] = []


class StageCost(_Record):
    """What a stage cost, interrupted runs included. Seconds of CPU and GPU are summed over workers."""

    stage: str
    wall_seconds: Amount
    cpu_seconds: Amount
    gpu_seconds: Amount
    rows: Count
    rows_per_second: Amount
    peak_memory_bytes: Count
    bytes_written: Count


class Manifest(_Record):
    """A committed version. Whatever a searcher needs to know is here or in a file named here."""

    format: int = FORMAT
    version: Count
    created: str
    corpusmill: str
    fingerprint: str
    config: dict[str, Any]
    model: shapes.Embedding
    dense: shapes.Dense
    dense_reason: str
    metadata: dict[str, MetadataKind]
    documents: Count
    rejected: Count
    reject_reasons: dict[str, Count] = {}  # rejected records by kind of reason
    notes: dict[str, Count] = {}  # what was guessed, replaced or left out of records that are read
    left_out: dict[str, Count] = {}  # files of the corpus folders that were not read, by reason
    passages: Count
    truncated: Count
    slices: list[SliceRecord]
    parts: list[PartRecord]
    shards: list[ShardRecord]
    quantizer: list[FileRecord]
    quantizer_training: shapes.Training
    model_files: list[FileRecord]
    background: list[FileRecord] = []  # vectors of random passages, and their marker
    background_rows: Count = 0
    lexical: shapes.Lexical = {}  # `settings`, `documents`, `average_length`; empty: no lexical index
    lexical_statistics: list[FileRecord] = []
    late_interaction: shapes.LateInteraction = {}  # `settings`, `model` card, `codec`
    token_codec: list[FileRecord] = []
    cross_encoder: shapes.CrossEncoding = {}
    search: shapes.Searching = {}
    fusion: shapes.Fusing = {}  # whether the build fitted the weights of `search`, and why
    recall: shapes.Recall
    costs: list[StageCost]
    warnings: list[str]

    def to_bytes(self) -> bytes:
        """The file of the manifest: JSON with a checksum of its own, for nothing else vouches for it."""
        value = self.model_dump(mode="json")
        return json.dumps({"sha256": _digest(value), **value}, indent=1).encode()

    def shard_name(self, passage: int) -> str:
        """Name of the shard that holds a passage id; empty where none does."""
        place = bisect_right(self.shards, passage, key=lambda shard: shard.base) - 1
        inside = place >= 0 and passage < self.shards[place].base + self.shards[place].rows
        return self.shards[place].name if inside else ""

    def files(self) -> list[FileRecord]:
        """Every artefact that this version names."""
        records = [*self.quantizer, *self.model_files, *self.lexical_statistics, *self.token_codec]
        records += self.background
        for entry in self.slices:
            records += entry.files
        for part in self.parts:
            records += [part.passages, part.vectors, part.vectors_marker, *part.tokens]
        for shard in self.shards:
            records += [*shard.passages, *shard.dense, *shard.lexical]
        return list({record.key: record for record in records}.values())


def version_key(version: int) -> str:
    """Key of a manifest."""
    return f"{VERSIONS}/{version:06d}.json"


def committed_versions(store: Store) -> list[int]:
    """Committed versions, ascending."""
    return sorted(int(found[1]) for key in store.find(VERSIONS) if (found := _NAME.fullmatch(key)))


def parse_latest(data: bytes) -> int | None:
    """The version that the content of LATEST names, None where it names none."""
    found = _VERSION.fullmatch(data)
    return int(found[1]) if found else None


def latest_version(store: Store) -> int | None:
    """The version to open; None before the first commit."""
    data = store.read_or_none(LATEST)
    if data is None:
        return None
    version = parse_latest(data)
    if version is None:
        raise IndexDamaged(
            f"{store.url}/{LATEST} does not hold a version number: {data[:40]!r}",
            hint=f"Write the number of the newest file in {store.url}/{VERSIONS} into it.",
        )
    return version


def read_manifest(store: Store, version: int | None = None) -> Manifest:
    """The manifest of `version`, by default the latest; raises IndexDamaged if it cannot be used."""
    version = latest_version(store) if version is None else version
    if version is None:
        raise CorpusmillError(
            f"{store.url} holds no committed index",
            hint=f"Build it: corpusmill build --corpus PATH --index {store.url}",
        )
    name = f"{store.url}/{version_key(version)}"
    data = store.read_or_none(version_key(version), MOST_BYTES)
    if data is None:
        raise IndexDamaged(f"{store.url} has no version {version}: {version_key(version)} is missing")
    value = parse_json(data, name, most_bytes=MOST_BYTES, most_values=MOST_VALUES)
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise CorpusmillError(
            f"{store.url} has format {str(value.get('format'))[:40]}, this corpusmill reads format {FORMAT}",
            hint="Use the corpusmill that built it, or build it again.",
        )
    stated = value.pop("sha256", None) if isinstance(value, dict) else None
    if stated != _digest(value):
        raise IndexDamaged(
            f"{name} differs from the checksum in it",
            hint=f"Delete it and {store.url}/{LATEST}, and build again: what is whole is kept.",
        )
    manifest = validated_json(
        Manifest, json.dumps(value), name
    )  # keys in their order: counts come largest first
    if manifest.version != version:
        raise IndexDamaged(f"{name} is the manifest of version {manifest.version}")
    _check_shards(manifest, name)
    return manifest


def _check_shards(manifest: Manifest, name: str) -> None:
    """Shards follow each other and share out all parts: ids and rows are computed from that."""
    row = part = 0
    for shard in manifest.shards:
        follows = (shard.base, shard.first_part) == (row, part) and part <= shard.end_part
        row, part = row + shard.rows, shard.end_part
        own = sum(entry.rows for entry in manifest.parts[shard.first_part : shard.end_part])
        if not follows or own != shard.rows or part > len(manifest.parts):
            raise IndexDamaged(
                f"{name}: shard {shard.name[:40]!a} does not follow the one before it, or misses rows"
            )
    if (row, part) != (manifest.passages, len(manifest.parts)):
        raise IndexDamaged(f"{name}: the shards hold {row} of {manifest.passages} passages")


def _digest(value: Any) -> str:
    """SHA-256 in hexadecimal of parsed JSON, whatever its spacing and the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
