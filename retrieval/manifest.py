"""The manifest of an index version: everything that it consists of, and what it cost to build."""

import hashlib
import json
from bisect import bisect_right
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from retrieval.errors import CorpusmillError, IndexDamaged
from retrieval.storage import FileRecord, Store

FORMAT = 2
LATEST = "LATEST"
VERSIONS = "versions"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartRecord(_Record):
    """Passages of a slice and their vectors. `rows` counts passages."""

    name: str
    rows: int
    documents: int
    truncated: int
    content: str
    passages: FileRecord
    vectors: FileRecord
    vectors_marker: FileRecord
    tokens: list[FileRecord] = []  # token codes, their offsets and marker, where the index stores them


class SliceRecord(_Record):
    """What reading one slice gave; read = documents + rejected, which verification checks."""

    key: str
    read: int
    documents: int
    rejected: int
    parts: int
    files: list[FileRecord]  # markers, rejects and id hashes


class ShardRecord(_Record):
    """Consecutive parts [first_part, end_part) as one searchable range of rows [base, base + rows)."""

    name: str
    base: int
    rows: int
    first_part: int
    end_part: int
    content: list[str]
    passages: list[FileRecord]  # the Arrow file and its marker
    dense: list[FileRecord]
    lexical: list[FileRecord] = []


class StageCost(_Record):
    """What a stage cost, interrupted runs included. Seconds of CPU and GPU are summed over workers."""

    stage: str
    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    rows: int
    rows_per_second: float
    peak_memory_bytes: int
    bytes_written: int


class Manifest(_Record):
    """A committed version. Whatever a searcher needs to know is here or in a file named here."""

    format: int = FORMAT
    version: int
    created: str
    corpusmill: str
    fingerprint: str
    config: dict[str, Any]
    model: dict[str, Any]
    dense: dict[str, Any]
    dense_reason: str
    metadata: dict[str, str]
    documents: int
    rejected: int
    reject_reasons: dict[str, int] = {}  # rejected records by kind of reason
    left_out: dict[str, int] = {}  # files of the corpus folders that were not read, by reason
    passages: int
    truncated: int
    slices: list[SliceRecord]
    parts: list[PartRecord]
    shards: list[ShardRecord]
    quantizer: list[FileRecord]
    quantizer_training: dict[str, Any]
    model_files: list[FileRecord]
    lexical: dict[str, Any] = {}  # `settings`, `documents`, `average_length`; empty: no lexical index
    lexical_statistics: list[FileRecord] = []
    late_interaction: dict[str, Any] = {}  # `settings`, `model` card, `codec`
    token_codec: list[FileRecord] = []
    cross_encoder: dict[str, Any] = {}
    search: dict[str, Any] = {}
    recall: dict[str, Any]
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


def versions(store: Store) -> list[int]:
    """Committed versions, ascending."""
    names = (key.rpartition("/")[2] for key in store.find(VERSIONS))
    return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())


def latest_version(store: Store) -> int | None:
    """The version to open; None before the first commit."""
    try:
        text = store.read(LATEST).decode("utf-8", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not text.isdigit():
        raise IndexDamaged(
            f"{store.url}/{LATEST} does not hold a version number: {text[:40]!r}",
            hint=f"Write the number of the newest file in {store.url}/{VERSIONS} into it.",
        )
    return int(text)


def read_manifest(store: Store, version: int | None = None) -> Manifest:
    """The manifest of `version`, by default the latest; raises IndexDamaged if it cannot be used."""
    version = latest_version(store) if version is None else version
    if version is None:
        raise CorpusmillError(
            f"{store.url} holds no committed index",
            hint=f"Build it: corpusmill build --corpus PATH --index {store.url}",
        )
    value = store.read_json(version_key(version))
    if value is None:
        raise IndexDamaged(f"{store.url} has no version {version}: {version_key(version)} is missing")
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise CorpusmillError(
            f"{store.url} has format {value.get('format')!r}, this corpusmill reads format {FORMAT}",
            hint="Use the corpusmill that built it, or build it again.",
        )
    stated = value.pop("sha256", None) if isinstance(value, dict) else None
    if stated != _digest(value):
        raise IndexDamaged(
            f"{store.url}/{version_key(version)} differs from the checksum in it",
            hint=f"Delete it and {store.url}/{LATEST}, and build again: what is whole is kept.",
        )
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise IndexDamaged(f"{store.url}/{version_key(version)}: {place}: {first['msg']}") from error


def _digest(value: Any) -> str:
    """SHA-256 in hexadecimal of parsed JSON, whatever its spacing and the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
