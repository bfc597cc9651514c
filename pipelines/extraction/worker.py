"""The process that parses: takes one document after another from its parent, under limits."""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import socket

from pipelines.extraction import frames
from pipelines.extraction.errors import BadData

TEXT, REFUSED, OUT_OF_MEMORY = b"t", b"r", b"m"
IDLE_SECONDS = 60.0  # without a document for so long it ends
_PARSERS = {"html": "pipelines.extraction.html", "pdf": "pipelines.extraction.pdf"}
_PR_SET_PDEATHSIG = 1


def main(parent: int, memory: int) -> None:
    """Serve the parent at the other end of standard input until it is gone or silent for a minute."""
    _limit(memory)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        return
    peer = socket.socket(fileno=os.dup(0))
    with contextlib.suppress(EOFError, OSError):
        while _serve(peer, memory):
            pass


def _limit(memory: int) -> None:
    """Private memory that may be written, in bytes; no files, no core dumps."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _serve(peer: socket.socket, memory: int) -> bool:
    """Answer one request; False if this process should not take another one."""
    if not select.select([peer], [], [], IDLE_SECONDS)[0]:
        return False
    try:
        kind, title, text = _answer(peer, memory)
    except MemoryError:
        frames.send(peer, OUT_OF_MEMORY, b"", b"")
        return False
    frames.send(peer, kind, title, text)
    return True


def _answer(peer: socket.socket, memory: int) -> tuple[bytes, bytes, bytes]:
    _, head, body = frames.receive(peer, memory, None)
    request = json.loads(head)
    parser = importlib.import_module(_PARSERS[request["format"]])
    try:
        title, text = parser.extract(body, request["max_bytes"])
    except BadData as error:
        return REFUSED, str(error).encode("utf-8", "replace")[: frames.HEAD_BYTES], b""
    except MemoryError:
        raise
    except Exception as error:  # a parser's own: what it did not foresee in the data
        return (
            REFUSED,
            f"cannot be read: {type(error).__name__}: {error}"[:500].encode("utf-8", "replace"),
            b"",
        )
    return TEXT, title[:5000].encode("utf-8", "replace"), text.encode("utf-8", "replace")
