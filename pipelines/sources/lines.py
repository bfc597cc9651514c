"""Lines of a stream of blocks, with their byte offsets and with bounded memory."""

from collections.abc import Iterable, Iterator
from itertools import chain

from pipelines.extraction import BadData


def lines(blocks: Iterable[bytes], position: int, limit: int) -> Iterator[tuple[int, bytes | BadData]]:
    """(byte offset, line without its newline) of each line; the first block lies at byte `position`.

    In place of a line that cannot be had there is a BadData: a line of more than `limit` bytes, which is
    never held whole, or the rest of the file when `blocks` raises one.
    """
    too_long = BadData(f"the line is longer than max_document_bytes ({limit})")
    pending: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            head, newline, rest = block.partition(b"\n")
            size += len(head)
            if size <= limit:
                pending.append(head)
            else:
                pending.clear()
            if not newline:
                continue
            yield position, b"".join(pending) if size <= limit else too_long
            position += size + 1
            *whole, tail = rest.split(b"\n")
            for line in whole:
                yield position, line if len(line) <= limit else too_long
                position += len(line) + 1
            pending, size = [tail], len(tail)
    except BadData as error:
        yield position, error
        return
    if size:
        yield position, b"".join(pending) if size <= limit else too_long


def from_next_line(blocks: Iterator[bytes], position: int, end: int) -> tuple[int, Iterator[bytes]]:
    """Position and blocks from the first line that begins after `position`; nothing if that is past `end`."""
    for block in blocks:
        head, newline, rest = block.partition(b"\n")
        position += len(head) + len(newline)
        if newline:
            return position, chain([rest], blocks)
        if 0 <= end <= position:
            break
    return position, iter(())
