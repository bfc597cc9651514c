"""The vectors of a part, as their marker tells of them."""

from dataclasses import dataclass
from typing import Any, Literal

from retrieval.storage import FileRecord


@dataclass(frozen=True)
class PartVectors:
    """Vectors (rows, dimension) float16 of a part; `truncated` counts passages longer than the window."""

    file: FileRecord
    marker: FileRecord
    rows: int
    dimension: int
    metric: Literal["cosine", "dot"]
    dtype: str
    device: str
    truncated: int
    tokens: int
    usage: dict[str, Any]

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "PartVectors":
        """A marker's content as an object."""
        names = ("rows", "dimension", "metric", "dtype", "device", "truncated", "tokens", "usage")
        return cls(
            file=FileRecord(**values["file"]),
            marker=FileRecord(**values["marker"]),
            **{name: values[name] for name in names},
        )
