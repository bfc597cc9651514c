"""Messages between a reader and its process: a kind and two pieces of bytes, their lengths in front.

Nothing that comes from the process is unpickled or evaluated, and its lengths are checked before memory
is taken for them.
"""

import socket
import struct
import time
from collections.abc import Callable

_HEADER = struct.Struct("<cQQ")
HEAD_BYTES = 1 << 20  # most that the first piece may have


def send(peer: socket.socket, kind: bytes, head: bytes, body: bytes, deadline: float | None = None) -> None:
    """Send one message; raises OSError, TimeoutError after `deadline` (of `time.monotonic`)."""
    for data in (_HEADER.pack(kind, len(head), len(body)) + head, body):
        if data:
            peer.settimeout(_left(deadline))
            peer.sendall(data)


def receive(
    peer: socket.socket, max_body: int, deadline: float | None = None
) -> tuple[bytes, bytearray, bytearray]:
    """(kind, head, body) of the next message.

    Raises EOFError when the peer is gone, TimeoutError after `deadline`, ValueError for a message longer
    than a megabyte and `max_body` bytes.
    """
    kind, head, body = _HEADER.unpack(_exactly(peer, _HEADER.size, deadline))
    if head > HEAD_BYTES or body > max_body:
        raise ValueError(f"a message of {head} + {body} bytes")
    return kind, _exactly(peer, head, deadline), _exactly(peer, body, deadline)


def _exactly(peer: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        peer.settimeout(_left(deadline))
        count = peer.recv_into(rest)
        if not count:
            raise EOFError("the peer is gone")
        rest = rest[count:]
    return data


def _left(deadline: float | None, now: Callable[[], float] = time.monotonic) -> float | None:
    if deadline is None:
        return None
    left = deadline - now()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left
