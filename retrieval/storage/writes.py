"""Files and folders on their way into an index."""

from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import StorageError
from retrieval.storage.keys import FileRecord


@dataclass
class LocalWrite:
    """A file being written: `path` while it is, `record` afterwards."""

    path: Path
    record: FileRecord | None = None

    @property
    def done(self) -> FileRecord:
        """The record of the finished file."""
        if self.record is None:
            raise StorageError(f"{self.path} was not finished")
        return self.record


@dataclass
class LocalFolder:
    """A folder being written: `path` while it is, `records` of its files afterwards."""

    path: Path
    records: list[FileRecord] = field(default_factory=list)
