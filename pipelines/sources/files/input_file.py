"""An input file: where it lies, what it is called, and how it is read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InputFile:
    """A file of the corpus. `name` is unique in the listing and the same wherever the corpus lies."""

    url: str
    name: str
    size: int  # bytes as stored, -1 where the file system does not say
    version: str
    format: str  # the name of a document format
    compression: str | None  # gzip, zstd or bz2
