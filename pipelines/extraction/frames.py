"""Messages between a reader and its process: a kind, a head and a body, the lengths of both in front.

Nothing that comes from the process is unpickled or evaluated, and its lengths are checked before memory
is taken for them. A long answer of the process lies in memory that both see, and its slot is sent instead.
"""

import math
import select
import socket
import struct
import time

from pipelines.extraction.shared_memory import SLOT_BYTES, SharedMemory

_HEADER = struct.Struct("<cQQb")
_SENT = -1  # in place of a slot
_BUFFER_BYTES = 64 << 10  # most messages are no longer
HEAD_BYTES = 1 << 20  # most that a head may have

Message = tuple[bytes, memoryview, memoryview]


class Peer:
    """One end of a socket pair; no call waits longer than `seconds` for the other end to do anything."""

    def __init__(
        self, end: socket.socket, seconds: float | None = None, *, reads: SharedMemory | None = None,
        writes: SharedMemory | None = None,
    ) -> None:  # fmt: skip
        """reads, writes: the memory that both see, at the end that reads it and at the one that writes."""
        self._socket = end
        self._reads = reads
        self._writes = writes
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
            slot, size = _SENT, len(body)
            if self._writes is not None and _BUFFER_BYTES <= size <= SLOT_BYTES:
                slot, body = self._writes.write(body), b""
            start = _HEADER.pack(kind, len(head), size, slot) + head
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
        kind, head, body, slot = _HEADER.unpack_from(self._buffer)
        if head > HEAD_BYTES or body > max_body:
            raise ValueError(f"a message of {head} + {body} bytes")
        shared = None
        if slot != _SENT:
            if self._reads is None:
                raise ValueError("an answer in memory that is not shared")
            shared = self._reads.read(slot, body)
        data = memoryview(bytearray(head + (body if shared is None else 0)))
        after = min(self._held, _HEADER.size + len(data))
        count = after - _HEADER.size
        data[:count] = self._buffer[_HEADER.size : after]
        next_message = bytes(self._buffer[after : self._held])
        self._held = len(next_message)
        self._buffer[: self._held] = next_message
        while count < len(data):
            count += self._receive(data[count:], deadline)
        return kind, data[:head], data[head:] if shared is None else shared

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
