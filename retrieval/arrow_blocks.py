"""Where the record batches of an Arrow IPC file lie, and whether they are compressed.

Arrow makes room for what a compressed batch says that it unpacks to, and unpacks it, whatever that is. A
build
writes none, and pyarrow cannot be told to refuse them, so their headers are looked at here.
"""

import struct

import pyarrow as pa

_TAIL = struct.calcsize("<i6s")  # length of the footer, and ARROW1
_BATCHES = 3  # of the fields of Footer in Arrow's File.fbs
_HEADER = 2  # of Message, in Message.fbs
_COMPRESSION = 3  # of RecordBatch, there
_PREFIX = 8  # bytes before a message


class ArrowBlocks:
    """Of a file that Arrow has opened, so that its footer is known to be a sound flatbuffer."""

    def __init__(self, data: pa.Buffer) -> None:
        """Raises struct.error, a ValueError or IndexError where the file is too short for what it says."""
        self._data = memoryview(data)
        end = len(self._data) - _TAIL
        (length,) = struct.unpack_from("<i", self._data, end)
        footer = self._data[end - length : end]
        root = _follow(footer, 0)
        vector = _follow(footer, root + _field(footer, root, _BATCHES))
        self._footer, self._first = footer, vector + 4

    def is_compressed(self, number: int) -> bool:
        """Whether a record batch is. Raises as the constructor."""
        offset, length = struct.unpack_from("<qi", self._footer, self._first + 24 * number)
        if offset < 0 or length < _PREFIX:
            raise ValueError("a batch lies nowhere")
        message = self._data[offset + _PREFIX : offset + length]
        root = _follow(message, 0)
        batch = _follow(message, root + _field(message, root, _HEADER))
        return _field(message, batch, _COMPRESSION) != 0


def _follow(data: memoryview, at: int) -> int:
    """What an offset at this place points to."""
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: memoryview, table: int, number: int) -> int:
    """Place of a field in a table, from the table's own on; 0 where it is not there."""
    places = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, places)
    return int(struct.unpack_from("<H", data, places + 4 + 2 * number)[0]) if 4 + 2 * number < size else 0
