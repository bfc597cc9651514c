"""Parts in ledger order with their vectors, and how consecutive parts are cut into shards and pieces."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.parts.part_vectors import PartVectors
from pipelines.parts.slice_results import SliceResult
from retrieval.format import PartRecord
from retrieval.settings import fingerprint
from retrieval.storage import FileRecord


@dataclass(frozen=True)
class Part:
    """A finished part. `content` names its titles and texts, and so its vectors."""

    name: str
    rows: int
    documents: int
    content: str
    passages: FileRecord
    vectors: PartVectors

    def record(self, tokens: list[FileRecord]) -> PartRecord:
        """The entry of the manifest; `tokens` are the files of its token codes."""
        return PartRecord(
            name=self.name,
            rows=self.rows,
            documents=self.documents,
            content=self.content,
            truncated=self.vectors.truncated,
            passages=self.passages,
            vectors=self.vectors.file,
            vectors_marker=self.vectors.marker,
            tokens=tokens,
        )

    def plain(self) -> dict[str, Any]:
        """What a task needs to know, as plain JSON."""
        return {"rows": self.rows, "passages": asdict(self.passages), "vectors": asdict(self.vectors.file)}


@dataclass(frozen=True)
class PartRange:
    """Consecutive parts [first, end) and their rows, which start at `base` in what they are cut from."""

    first: int
    end: int
    base: int
    rows: int

    def of(self, parts: Sequence[Part]) -> list[Part]:
        """The parts themselves."""
        return list(parts[self.first : self.end])


def parts_in_order(results: Sequence[SliceResult], vectors: dict[str, PartVectors]) -> list[Part]:
    """All parts in ledger order."""
    return [
        Part(
            part["name"], part["rows"], part["documents"], part["content"],
            FileRecord(**part["file"]), vectors[part["content"]],
        )
        for result in results
        for part in result.parts
    ]  # fmt: skip


def cut_parts(parts: Sequence[Part], most_rows: int, first: int = 0, base: int = 0) -> list[PartRange]:
    """Ranges from part `first` on, each filled until the next part would pass `most_rows`.

    Where a part falls depends only on the parts before it, so appended parts change the last range only.
    """
    ranges: list[PartRange] = []
    start, rows = first, 0
    for number in range(first, len(parts)):
        if rows and rows + parts[number].rows > most_rows:
            ranges.append(PartRange(start, number, base, rows))
            base, start, rows = base + rows, number, 0
        rows += parts[number].rows
    if rows:
        ranges.append(PartRange(start, len(parts), base, rows))
    return ranges


def vectors_fingerprint(parts: Sequence[Part]) -> str:
    """Names a range of parts by what their vectors depend on."""
    return fingerprint([[part.content, part.rows] for part in parts])


def passages_fingerprint(parts: Sequence[Part]) -> str:
    """Names a range of parts by their Parquet files."""
    return fingerprint([part.passages.sha256 for part in parts])
