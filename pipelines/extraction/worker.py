"""The process that parses: takes one document or table after another from its parent, under limits.

A request is EXTRACT (head: the request as JSON, with the module that parses; body: the document), answered by
TEXT or REFUSED; or TABLE, answered by PIECE or ROW_REFUSED for as long as the parent says NEXT, and by END.
While a table is read, the process asks for bytes of the file by READ, and the parent answers by DATA.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

from pipelines.extraction.answers import BadData
from pipelines.extraction.frames import Peer
from pipelines.extraction.shared_memory import SharedMemory

EXTRACT, TABLE, NEXT, STOP, DATA = b"e", b"t", b"n", b"s", b"d"
TEXT, REFUSED, PIECE, ROW_REFUSED, END, READ, OUT_OF_MEMORY = b"T", b"R", b"P", b"W", b"E", b"A", b"M"
MOST_NOTES = 20  # of a document
IDLE_SECONDS = 60.0  # without a document for so long it ends
_PR_SET_PDEATHSIG = 1


def main(parent: int, memory: int, shared: int) -> None:
    """Serve the parent at the other end of standard input until it is gone or silent for a minute."""
    _limit(memory)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        return
    peer = Peer(socket.socket(fileno=os.dup(0)), writes=SharedMemory(shared))
    os.close(shared)
    with contextlib.suppress(EOFError, OSError):
        while peer.wait(IDLE_SECONDS) and _serve(peer, memory):
            pass


def _limit(memory: int) -> None:
    """Private memory that may be written, in bytes; no files, no core dumps."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _serve(peer: Peer, memory: int) -> bool:
    """Answer one request; False if this process should not take another one."""
    try:
        kind, head, body = peer.receive(memory)
        request = json.loads(bytes(head))
        if kind == TABLE:
            answer = _refusing(lambda: _table(peer, request, memory))
        else:
            answer = _refusing(lambda: _text(request, bytes(body)))
    except MemoryError:
        peer.send(OUT_OF_MEMORY, b"", b"")
        return False
    peer.send(*answer)
    return True


def _refusing(answer: Callable[[], tuple[bytes, bytes, bytes]]) -> tuple[bytes, bytes, bytes]:
    """The answer; what a parser did not foresee in the data is a reason to refuse them."""
    try:
        return answer()
    except (MemoryError, EOFError):
        raise
    except BadData as error:
        reason = str(error)
    except Exception as error:
        reason = f"cannot be read: {type(error).__name__}: {error}"
    return REFUSED, reason[:1000].encode("utf-8", "replace"), b""


@cache
def _parser(name: str) -> Any:
    """The module that parses. What it imported is no garbage: no collection looks at it again."""
    parser = importlib.import_module(name)
    gc.freeze()
    return parser


def _text(request: dict[str, Any], data: bytes) -> tuple[bytes, bytes, bytes]:
    title, text, *notes = _parser(request["parser"]).extract(data, request["max_bytes"])
    head = [title[:5000], [str(note)[:500] for note in notes[0][:MOST_NOTES]] if notes else []]
    return TEXT, json.dumps(head).encode(), text.encode("utf-8", "replace")


def _table(peer: Peer, request: dict[str, Any], memory: int) -> tuple[bytes, bytes, bytes]:
    from pipelines.extraction import tables  # pyarrow: only where there are tables

    def ask(offset: int, size: int) -> memoryview:
        peer.send(READ, json.dumps([offset, size]).encode(), b"")
        return peer.receive(memory)[2]

    for row, after, found in tables.row_batches(tables.AskedFile(ask, request["size"]), request, memory):
        head = json.dumps([row, after, found[:1000] if isinstance(found, str) else ""]).encode()
        if isinstance(found, str):
            peer.send(ROW_REFUSED, head, b"")
        else:
            peer.send(PIECE, head, found)
        if peer.receive(memory)[0] != NEXT:
            break
    return END, b"", b""
