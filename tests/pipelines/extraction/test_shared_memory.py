"""Long answers of the process that parses: where they lie, how long, and what a false one may not do."""

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from pipelines.extraction.frames import Peer
from pipelines.extraction.shared_memory import SLOT_BYTES, SharedMemory

HEADER = struct.Struct("<cQQb")
MOST = 1 << 30


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Peer, Peer]]:
    """The process's socket, its end and the reader's, with memory that both see."""
    file = SharedMemory.create()
    ours, theirs = socket.socketpair()
    reader = Peer(ours, 5, reads=SharedMemory(file))
    writer = Peer(theirs, 5, writes=SharedMemory(file))
    os.close(file)
    with ours, theirs:
        yield theirs, writer, reader


@pytest.mark.parametrize("size", [0, 100, (64 << 10) - 1, 64 << 10, 5_000_000, SLOT_BYTES])
def test_an_answer_arrives_whatever_its_length(ends: tuple[socket.socket, Peer, Peer], size: int) -> None:
    _, writer, reader = ends
    for turn in range(3):
        body = bytes([turn]) * size
        writer.send(b"k", b"head", body)
        kind, head, found = reader.receive(MOST)
        assert (kind, bytes(head), bytes(found)) == (b"k", b"head", body)


def test_an_answer_stays_until_the_one_after_the_next(ends: tuple[socket.socket, Peer, Peer]) -> None:
    _, writer, reader = ends
    found = []
    for letter in b"ab":
        writer.send(b"k", b"", bytes([letter]) * 100_000)
        found.append(reader.receive(MOST)[2])
    assert [set(bytes(body)) for body in found] == [set(b"a"), set(b"b")]
    with pytest.raises(TypeError):
        found[0][0] = 0  # a reader does not write there


@pytest.mark.parametrize(
    ("slot", "count"), [(2, 10), (127, 10), (-2, 10), (0, SLOT_BYTES + 1), (1, MOST), (0, MOST + 1)]
)
def test_a_place_that_is_none_is_refused(
    ends: tuple[socket.socket, Peer, Peer], slot: int, count: int
) -> None:
    process, _, reader = ends
    process.sendall(HEADER.pack(b"k", 0, count, slot))
    with pytest.raises(ValueError, match=r"slot|a message of"):
        reader.receive(MOST)


def test_who_shares_no_memory_is_not_told_of_any() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(HEADER.pack(b"k", 0, 10, 0))
        with pytest.raises(ValueError, match="not shared"):
            Peer(ours, 5).receive(MOST)
