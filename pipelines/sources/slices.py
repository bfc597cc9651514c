"""Slices: bounded pieces of the input, the unit of reading."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import Annotated, Any

from pydantic import Field

from pipelines.sources.files import InputFile
from pipelines.sources.formats import pages, parquet

_MAX_FILES = 1000  # in a slice of small files
_FOOTERS_AT_ONCE = 16


@dataclass(frozen=True)
class Slice:
    """A piece of one file, or several whole files of one format.

    [start, end) counts bytes in uncompressed JSONL and row groups in Parquet; 0 and -1 stand for the
    whole of the files.
    """

    files: Annotated[tuple[InputFile, ...], Field(min_length=1)]
    start: int = 0
    end: int = -1

    @property
    def format(self) -> str:
        return self.files[0].format

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of what is read; the files' places do not count, so that they may move."""
        files = [(f.name, f.version, f.format, f.compression) for f in self.files]
        return hashlib.sha256(json.dumps([files, self.start, self.end]).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        return {"files": [asdict(f) for f in self.files], "start": self.start, "end": self.end}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Slice":
        return cls(tuple(InputFile(**f) for f in values["files"]), values["start"], values["end"])


def cut_slices(files: Sequence[InputFile], slice_bytes: int, options: Mapping[str, Any]) -> Iterator[Slice]:
    """Slices of about `slice_bytes` bytes, in the order of `files`.

    Uncompressed JSONL is cut by bytes and Parquet between row groups, by their uncompressed size; CSV, TSV
    and compressed files are not cut; files of one document each are put together. `options` are those of
    the file system, for Parquet footers. Raises StorageError.
    """
    for format, group in groupby(files, key=lambda file: file.format):
        if format in pages.FORMATS:
            yield from _grouped(group, slice_bytes)
        elif format == "parquet":
            yield from _row_groups(list(group), slice_bytes, options)
        else:
            for file in group:
                yield from _byte_ranges(file, slice_bytes)


def _byte_ranges(file: InputFile, slice_bytes: int) -> Iterator[Slice]:
    if file.format != "jsonl" or file.compression or file.size <= slice_bytes:
        yield Slice((file,))
        return
    pieces = -(-file.size // slice_bytes)
    for i in range(pieces):
        yield Slice((file,), i * file.size // pieces, (i + 1) * file.size // pieces)


def _row_groups(files: list[InputFile], slice_bytes: int, options: Mapping[str, Any]) -> Iterator[Slice]:
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:  # a footer is mostly waiting for the storage
        for i in range(0, len(files), 4 * _FOOTERS_AT_ONCE):
            some = files[i : i + 4 * _FOOTERS_AT_ONCE]
            footers = pool.map(partial(parquet.footer, options=options), some)
            for file, footer in zip(some, footers, strict=True):
                yield from _row_group_ranges(file, parquet.row_group_bytes(footer), slice_bytes)


def _row_group_ranges(file: InputFile, sizes: list[int], slice_bytes: int) -> Iterator[Slice]:
    if sum(sizes) <= slice_bytes:  # also without row groups, and with a footer that cannot be read
        yield Slice((file,))
        return
    start, filled = 0, 0
    for i, size in enumerate(sizes):
        if i > start and filled + size > slice_bytes:
            yield Slice((file,), start, i)
            start, filled = i, 0
        filled += size
    yield Slice((file,), start, len(sizes))


def _grouped(files: Iterator[InputFile], slice_bytes: int) -> Iterator[Slice]:
    together: list[InputFile] = []
    filled = 0
    for file in files:
        if together and (filled + file.size > slice_bytes or len(together) == _MAX_FILES):
            yield Slice(tuple(together))
            together, filled = [], 0
        together.append(file)
        filled += max(0, file.size)
    if together:
        yield Slice(tuple(together))
