"""Slices: bounded ranges of the input, the unit of reading."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import Annotated, Any

from pydantic import Field

from pipelines.sources.files import InputFile
from pipelines.sources.registry import format_named


@dataclass(frozen=True)
class Slice:
    """A range of one file, or several whole files of one format.

    [start, end) counts what the format cuts by: bytes in uncompressed JSONL, row groups in Parquet; 0 and -1
    stand for the whole of the files.
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


def cut_slices(
    files: Sequence[InputFile],
    slice_bytes: int,
    options: Mapping[str, Any],
    plugins: Collection[str] = (),
) -> Iterator[Slice]:
    """Slices of about `slice_bytes` bytes, in the order of `files`, as their formats cut them.

    `options` are those of the file system, for formats that look into files; `plugins` are enabled. Raises
    StorageError.
    """
    for name, group in groupby(files, key=lambda file: file.format):
        for cut, start, end in format_named(name, plugins).cut(list(group), slice_bytes, options):
            yield Slice(tuple(cut), start, end)
