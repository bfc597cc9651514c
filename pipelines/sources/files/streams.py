"""Bytes of an input file: opened through fsspec, decompressed, storage trouble told from bad data."""

import bz2
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from pipelines.extraction import EXPANSION_SLACK, MAX_EXPANSION, BadData
from pipelines.sources.files.file_systems import file_system, storage_error, version_of
from pipelines.sources.files.input_file import InputFile
from retrieval.errors import CorpusmillError, StorageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 1 << 20
_LEAST_BLOCK_BYTES = 64 << 10  # of decompressed data, but for the last one
REQUEST_BYTES = 8 << 20  # most that one read of remote storage asks for
_LINE_SLACK = 256 << 10  # bytes beyond a range that most last lines end in


class _Source(io.RawIOBase):
    """A readable file whose every failure is a StorageError: whatever else is raised is about the data."""

    def __init__(self, handle: Any, url: str) -> None:
        super().__init__()
        self._handle = handle
        self._url = url
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._handle.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._handle.seek(offset, whence))

    def tell(self) -> int:
        return int(self._handle.tell())

    def read(self, size: int = -1) -> bytes:
        try:
            data = bytes(self._handle.read(size))
            self.bytes_read += len(data)
            return data
        except MemoryError:
            raise
        except Exception as error:  # file systems raise errors of their own client libraries
            raise storage_error(self._url, error) from error

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._handle.close()
        super().close()


@contextmanager
def open_source(file: InputFile, options: Mapping[str, Any]) -> Iterator[_Source]:
    """The bytes of `file` as they are stored; raises StorageError if it is gone or has changed."""
    try:
        fs, path = file_system(file.url, options)
        if isinstance(fs, LocalFileSystem):
            handle, info = fs.open(path, "rb"), {}
        else:
            handle = fs.open(path, "rb", cache_type="none", block_size=REQUEST_BYTES)
            # opening has asked for them already
            info = handle.details if isinstance(handle, AbstractBufferedFile) else fs.info(path)
        version = version_of(fs, path, info)
    except CorpusmillError:
        raise
    except Exception as error:  # file systems raise errors of their own client libraries
        raise storage_error(file.url, error) from error
    with _Source(handle, file.url) as source:
        if version != file.version:
            raise StorageError(
                f"{file.url} has changed since it was listed",
                hint="Run the build again: it lists the files anew.",
            )
        yield source


@contextmanager
def open_blocks(
    file: InputFile, options: Mapping[str, Any], start: int = 0, end: int = -1
) -> Iterator[Iterator[bytes]]:
    """Blocks of `file` from byte `start` on, decompressed (`start` is then 0).

    `end` says how far the caller means to read, -1 to the end of the file: no read asks for much more.
    The iterator raises BadData where compressed data end or break, after every byte before that place.
    """
    wanted = end - start + _LINE_SLACK if end >= 0 else REQUEST_BYTES
    with open_source(file, options) as source:
        buffered: IO[bytes] = io.BufferedReader(source, min(wanted, REQUEST_BYTES))
        if start:
            buffered.seek(start)
        if file.compression:
            yield _checked(_decompressed(buffered, file.compression), source)
        else:
            yield _blocks(buffered)


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(BLOCK_BYTES):
        yield block


def _checked(blocks: Iterator[bytes], source: _Source) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > MAX_EXPANSION * source.bytes_read + EXPANSION_SLACK:
            raise BadData(f"the data expand more than {MAX_EXPANSION} times, the rest is not read")
        yield block


def _decompressed(source: IO[bytes], compression: str) -> Iterator[bytes]:
    opener: Any = {"gzip": gzip.open, "bz2": bz2.open, "zstd": zstd.open}[compression]
    stream = opener(source, "rb")
    # A file may be a hundred thousand members of a byte each: what takes a block must not be called for each.
    together = bytearray()
    empty = True
    damage = ""
    try:
        # read1 hands out what one step gives; read would lose it when the next step fails
        while step := stream.read1(BLOCK_BYTES):
            together += step
            if len(together) >= _LEAST_BLOCK_BYTES:
                yield bytes(together)
                together.clear()
                empty = False
    except EOFError:
        damage = f"the {compression} data end early (truncated file): the rest is lost"
    except (OSError, zlib.error, zstd.ZstdError, ValueError) as error:
        damage = f"the {compression} data are damaged, the rest is lost: {error}"
    if together:
        yield bytes(together)
    if damage:
        raise BadData(damage)
    if empty and not together:
        raise BadData("empty file")


def read_whole(file: InputFile, options: Mapping[str, Any], limit: int) -> bytes:
    """All bytes of `file`, decompressed; raises BadData beyond `limit` bytes."""
    data = bytearray()
    with open_blocks(file, options) as blocks:
        for block in blocks:
            data += block
            if len(data) > limit:
                raise BadData(f"the file is longer than max_document_bytes ({limit})")
    return bytes(data)
