"""The header of a shard or a piece of any type: `shard.json`, written last and read first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, DenseSpec, read_header, write_header
from retrieval.storage import Count, Shape

SHARD_HEADER = "shard.json"
MAX_VECTORS = 1 << 48  # a larger count is not one


class ShardHeader(Shape):
    """What every type says of a shard or a piece; a type adds its own."""

    type: str
    dimension: Count
    quantizer: str
    vectors: Annotated[int, Field(ge=0, lt=MAX_VECTORS)]
    first_row: Annotated[int, Field(ge=0, lt=MAX_VECTORS)]


@dataclass(frozen=True)
class StoredShard:
    """A checked shard or piece; `contents`: what its type keeps of it."""

    folder: Path
    header: Any
    contents: Any = None

    @property
    def vectors(self) -> int:
        """Rows."""
        return int(self.header.vectors)

    @property
    def first_row(self) -> int:
        """Of a piece; 0 of a shard."""
        return int(self.header.first_row)


def write_shard_header(
    folder: Path, spec: DenseSpec, quantizer: str, vectors: int, first_row: int, own: dict[str, Any]
) -> None:
    """Write the header, last: a folder without it is not a shard. `own`: what the type adds."""
    values = {
        "type": spec.type, "vectors": vectors, "first_row": first_row,
        "quantizer": quantizer, "dimension": spec.dimension, **own,
    }  # fmt: skip
    write_header(folder / SHARD_HEADER, values)


def read_shard_header(folder: Path, shape: type[ShardHeader], spec: DenseSpec, quantizer: str) -> Any:
    """The header, as `shape` has it. Raises IndexDamaged where it is of another spec or quantizer."""
    header = read_header(folder / SHARD_HEADER, shape)
    check_values(folder, header, {"type": spec.type, "dimension": spec.dimension, "quantizer": quantizer})
    return header


def check_values(folder: Path, header: ShardHeader, expected: dict[str, Any]) -> None:
    """Raise IndexDamaged where the header says something else."""
    for name, value in expected.items():
        found = getattr(header, name)
        if found != value:
            raise IndexDamaged(
                f"{folder / SHARD_HEADER} has {name} {str(found)[:40]!a}, the index has {str(value)!a}.",
                hint=DAMAGE_HINT,
            )
