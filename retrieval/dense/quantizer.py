"""What a dense index was trained into: stored once, held once per process, shared by all shards."""

from pathlib import Path
from typing import Any

import numpy as np

from retrieval.dense.index_type import DenseType
from retrieval.dense.registry import dense_type
from retrieval.dense.stored_shard import StoredShard, read_shard_header
from retrieval.errors import IndexDamaged
from retrieval.format import (
    DAMAGE_HINT,
    DenseSpec,
    FileEntry,
    SearchParameters,
    check_file,
    crc32_of,
    read_header,
    write_header,
)
from retrieval.settings import fingerprint
from retrieval.storage import Shape

HEADER = "quantizer.json"


class _Header(Shape):
    spec: dict[str, Any]
    files: dict[str, FileEntry]
    id: str


class Quantizer:
    """A type with its spec and what it has trained: rotation, centroids and codebooks, for one.

    `id` names the exact files. `trained` is the type's own; None where it trains nothing.
    """

    def __init__(self, kind: DenseType, spec: DenseSpec, trained: Any, id: str) -> None:
        self.kind = kind
        self.spec = spec
        self.trained = trained
        self.id = id

    @classmethod
    def open(cls, folder: Path, spec: DenseSpec, kind: DenseType | None = None) -> "Quantizer":
        """Read a quantizer, every byte of it checked: it is small and is held in memory.

        kind: of the spec; default: the type of this package. Raises IndexDamaged where a file is missing or
        changed, or was trained for another spec.
        """
        kind = kind or dense_type(spec.type)
        header = read_header(folder / HEADER, _Header)
        told = kind.notation(spec)
        if header.spec != spec.artefact_values():
            raise IndexDamaged(f"{folder} was trained for another index than {told}.", hint=DAMAGE_HINT)
        if sorted(header.files) != sorted(kind.trained_files(spec)):
            raise IndexDamaged(f"{folder / HEADER} does not name the files of {told}.", hint=DAMAGE_HINT)
        for name, entry in header.files.items():
            check_file(folder / name, entry.bytes, entry.crc32)
        return cls(kind, spec, kind.load(folder, spec), header.id)

    def assign(self, queries: np.ndarray, parameters: SearchParameters) -> Any:
        """What is computed once of queries (q, d) float32 for all shards."""
        return self.kind.assign(self.trained, self.spec, queries, parameters)

    def deepened(self, parameters: SearchParameters, k: int, share: float) -> SearchParameters:
        """Parameters for k results; share: of the rows, that a filter keeps."""
        return self.kind.deepened(self.spec, parameters, k, share)


def write_quantizer_header(folder: Path, kind: DenseType, spec: DenseSpec) -> str:
    """Name the files that training wrote, last; their id."""
    files = {
        name: {"bytes": (folder / name).stat().st_size, "crc32": crc32_of(folder / name)}
        for name in kind.trained_files(spec)
    }
    values = {"spec": spec.artefact_values(), "files": files}
    name = fingerprint(values)
    write_header(folder / HEADER, {**values, "id": name})
    return name


def open_stored(folder: Path, quantizer: Quantizer) -> StoredShard:
    """Check a shard's or a piece's structure and sizes, in milliseconds.

    Raises IndexDamaged where a file is missing, truncated, or made for another spec or quantizer.
    """
    kind, spec = quantizer.kind, quantizer.spec
    header = read_shard_header(folder, kind.header, spec, quantizer.id)
    return StoredShard(folder, header, kind.read(folder, header, spec))
