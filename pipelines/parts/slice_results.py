"""What reading a slice gave, as its marker tells it."""

from dataclasses import dataclass
from typing import Any

from pipelines.config import PassageSpec
from pipelines.runtime import read_markers
from retrieval.format import SliceRecord
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord


@dataclass(frozen=True)
class SliceResult:
    """A finished slice. `parts` are `part_writer.WrittenPart`s as plain values."""

    key: str
    name: str
    marker: FileRecord
    read: int
    documents: int
    rejected: int
    duplicates: int
    passages: int
    characters: int
    parts: list[dict[str, Any]]
    files: list[FileRecord]
    ids: FileRecord | None
    reasons: dict[str, int]  # rejects by kind of reason
    rejects: list[str]  # the first ones, to be shown
    noted: dict[str, int]  # notes by kind of reason
    notes: list[str]  # the first ones
    seen: dict[str, list[str]]  # kinds of metadata values, by field, that the schema has no place for
    usage: dict[str, Any]

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "SliceResult":
        """A marker's content as an object."""
        names = (
            "key",
            "name",
            "read",
            "documents",
            "rejected",
            "duplicates",
            "passages",
            "characters",
            "parts",
            "reasons",
            "rejects",
            "noted",
            "notes",
            "seen",
            "usage",
        )
        return cls(
            **{name: values[name] for name in names},
            marker=FileRecord(**values["marker"]),
            files=[FileRecord(**file) for file in values["files"]],
            ids=FileRecord(**values["ids"]) if values["ids"] else None,
        )

    def record(self) -> SliceRecord:
        """The entry of the manifest."""
        return SliceRecord(
            key=self.key,
            read=self.read,
            documents=self.documents,
            rejected=self.rejected,
            parts=len(self.parts),
            files=[self.marker, *self.files],
        )


def slice_name(key: str, drop: dict[str, int] | None) -> str:
    """Name of a slice's files: with other documents left out, it is another result."""
    return f"{key}-{fingerprint(drop)[:8]}" if drop else key


def finished_slices(spec: PassageSpec) -> dict[str, SliceResult]:
    """Results by name, from the markers that lie under this build's fingerprint."""
    markers = read_markers(spec.store, spec.folder)
    return {name: SliceResult.from_values(values) for name, values in markers.items()}
