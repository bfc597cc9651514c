"""Messages between a reader and its process: a kind and two pieces of bytes, their lengths in front.

Nothing that comes from the process is unpickled or evaluated, and its lengths are checked before memory
is taken for them.
"""

import math
import select
import socket
import struct
import time

_HEADER = struct.Struct("<cQQ")
_BUFFER_BYTES = 64 << 10  # most messages are no longer
HEAD_BYTES = 1 << 20  # most that the first piece may have

Message = tuple[bytes, memoryview, memoryview]


class Peer:
    """One end of a socket pair; no call waits longer than `seconds` for the other end to do anything."""

    def __init__(self, end: socket.socket, seconds: float | None = None) -> None:
        self._socket = end
        end.setblocking(True)
        if seconds is not None:  # by the kernel: Python's own limits take three more system calls a message
            limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) or 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._held = 0  # bytes in it, from the start of a message on

    def send(self, kind: bytes, head: bytes, body: bytes | memoryview = b"") -> None:
        """Send one message; raises OSError, TimeoutError where the peer does not take it."""
        try:
            start = _HEADER.pack(kind, len(head), len(body)) + head
            if len(body) < _BUFFER_BYTES:
                self._socket.sendall(start + body)
            else:
                self._socket.sendall(start)
                self._socket.sendall(body)
        except BlockingIOError as error:
            raise TimeoutError from error

    def receive(self, max_body: int, seconds: float | None = None) -> Message:
        """(kind, head, body) of the next message.

        Raises EOFError when the peer is gone, TimeoutError after `seconds`, and ValueError for a message
        longer than a megabyte and `max_body` bytes.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while self._held < _HEADER.size:
            self._held += self._receive(self._buffer[self._held :], deadline)
        kind, head, body = _HEADER.unpack_from(self._buffer)
        if head > HEAD_BYTES or body > max_body:
            raise ValueError(f"a message of {head} + {body} bytes")
        data = memoryview(bytearray(head + body))
        after = min(self._held, _HEADER.size + len(data))
        count = after - _HEADER.size
        data[:count] = self._buffer[_HEADER.size : after]
        next_message = bytes(self._buffer[after : self._held])
        self._held = len(next_message)
        self._buffer[: self._held] = next_message
        while count < len(data):
            count += self._receive(data[count:], deadline)
        return kind, data[:head], data[head:]

    def wait(self, seconds: float) -> bool:
        """Whether there is something to receive, for so long at most."""
        return self._held > 0 or bool(select.select([self._socket], [], [], seconds)[0])

    def _receive(self, rest: memoryview, deadline: float) -> int:
        try:
            count = self._socket.recv_into(rest)
        except BlockingIOError as error:
            raise TimeoutError from error
        if not count:
            raise EOFError("the peer is gone")
        if time.monotonic() > deadline:
            raise TimeoutError
        return count

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
