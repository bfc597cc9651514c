"""Merge lists: list by list on disk, in constant memory."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from retrieval.dense.index_type import MergeWork
from retrieval.dense.row_check import RowCheck
from retrieval.dense.stored_shard import StoredShard
from retrieval.dense.types.inverted.lists_files import LISTS, write_lists
from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, ROW_BYTES

COPY_BYTES = 1 << 18  # of a long list
READ_BYTES = 4 << 20  # read ahead, shared by all sources
MIN_BUFFER = 1 << 16
LISTS_AT_ONCE = 1024


def merge_lists(work: MergeWork, code_size: int, nlist: int) -> None:
    """Write the lists of all sources as one. Raises IndexDamaged unless they hold exactly their rows."""
    sizes = sum((piece.contents for piece in work.stored), np.zeros(nlist, np.int64))
    check = RowCheck(work.first_row, work.total)
    write_lists(work.out, code_size, sizes, _merged(work, code_size, check))
    check.finish(work.out)


def _merged(work: MergeWork, code_size: int, check: RowCheck) -> Iterator[Any]:
    """The bytes of the merged `lists.bin`; every source is read once, from front to back."""
    stored = work.stored
    buffering = max(MIN_BUFFER, READ_BYTES // len(stored))
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context((piece.folder / LISTS).open("rb", buffering=buffering)) for piece in stored
        ]
        for sizes in _list_sizes(stored):
            present = np.flatnonzero(sizes).tolist()
            for number in present:
                yield from _read(files[number], int(sizes[number]) * code_size)
            for number in present:
                for buffer in _read(files[number], int(sizes[number]) * ROW_BYTES):
                    rows = np.frombuffer(buffer, "<i8") + work.offsets[number]
                    check.add(rows)
                    yield rows


def _list_sizes(stored: Sequence[StoredShard]) -> Iterator[np.ndarray]:
    """For each list its size in every source, int64 (sources,)."""
    for first in range(0, len(stored[0].contents), LISTS_AT_ONCE):
        yield from np.stack([piece.contents[first : first + LISTS_AT_ONCE] for piece in stored], axis=1)


def _read(file: BinaryIO, count: int) -> Iterator[bytes]:
    while count:
        buffer = file.read(min(count, COPY_BYTES))
        if not buffer:
            raise IndexDamaged(f"{file.name} ends too early.", hint=DAMAGE_HINT)
        count -= len(buffer)
        yield buffer
