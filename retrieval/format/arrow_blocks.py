"""Where the record batches of an Arrow IPC file lie, and whether they are compressed.

Arrow makes room for what a compressed batch says that it unpacks to, and unpacks it, whatever that is. A
build writes none, and pyarrow cannot be told to refuse them, so their headers are looked at here.
"""

import struct
from collections.abc import Callable

_TAIL = struct.calcsize("<i6s")  # length of the footer, and ARROW1
_BATCHES = 3  # of the fields of Footer in Arrow's File.fbs
_HEADER = 2  # of Message, in Message.fbs
_LENGTH, _COMPRESSION = 0, 3  # of RecordBatch, there
_PREFIX = 8  # bytes before a message


class ArrowBlocks:
    """Of a file that Arrow has opened, so that its footer is known to be a sound flatbuffer.

    What is not sound raises struct.error or ValueError.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        """read: gives so many bytes from a place on. size: of the file."""
        self._read = read
        self._size = size
        (length,) = struct.unpack_from("<i", read(_TAIL, size - _TAIL))
        self._footer = self._part(size - _TAIL - length, length)
        root = _follow(self._footer, 0)
        self._first = 4 + _follow(self._footer, root + _field(self._footer, root, _BATCHES))

    def is_compressed(self, number: int) -> bool:
        """Whether a record batch is."""
        message, batch = self._batch(number)
        return _field(message, batch, _COMPRESSION) != 0

    def rows(self, number: int) -> int:
        """Rows that a record batch says it has."""
        message, batch = self._batch(number)
        place = _field(message, batch, _LENGTH)
        return int(struct.unpack_from("<q", message, batch + place)[0]) if place else 0

    def _batch(self, number: int) -> tuple[bytes, int]:
        """The message of a record batch, and where in it the batch is told of."""
        offset, length = struct.unpack_from("<qi", self._footer, self._first + 24 * number)
        message = self._part(offset + _PREFIX, length - _PREFIX)
        root = _follow(message, 0)
        return message, _follow(message, root + _field(message, root, _HEADER))

    def _part(self, at: int, length: int) -> bytes:
        if not 0 <= at <= at + length <= self._size:
            raise ValueError("a part lies outside the file")
        return self._read(length, at)


def _follow(data: bytes, at: int) -> int:
    """What an offset at this place points to."""
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Place of a field in a table, from the table's own on; 0 where it is not there."""
    places = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, places)
    return int(struct.unpack_from("<H", data, places + 4 + 2 * number)[0]) if 4 + 2 * number < size else 0
