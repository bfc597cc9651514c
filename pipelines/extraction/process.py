"""The reader's side: one process for all documents of a thread, ended when a document breaks a limit."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.extraction import frames
from pipelines.extraction.errors import BadData
from pipelines.extraction.worker import OUT_OF_MEMORY, REFUSED, TEXT

_START = """
import sys
parent, memory, *sys.path = sys.argv[1:]  # it imports what its parent does
from pipelines.extraction.worker import main
main(int(parent), int(memory))
"""
_ROOT = str(Path(__file__).parents[2])
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")  # no secrets of the build


@dataclass(frozen=True)
class Limits:
    """What one document may cost: bytes of memory, seconds, and bytes of text that it may give."""

    memory: int
    seconds: float
    text_bytes: int


class _Ended(Exception):
    """The process ended, or ran out of memory; the message is a reject's reason."""


class Extractor:
    """A process that extracts text. It starts with the first document; not for use by several threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: socket.socket | None = None

    def extract(self, format: str, data: bytes) -> tuple[str, str]:
        """(title, text) of a document; format: "html" or "pdf".

        Raises BadData where the document cannot be read or breaks a limit; then the process is another one.
        """
        if len(data) > self.limits.memory:
            raise BadData(self._too_much())
        used = self._process is not None
        try:
            return self._ask(format, data)
        except _Ended as error:
            if not used:
                raise BadData(str(error)) from error
        # What earlier documents left behind must not count against this one.
        try:
            return self._ask(format, data)
        except _Ended as error:
            raise BadData(str(error)) from error

    def close(self) -> None:
        """End the process, whatever it does; the next document starts another one."""
        process, self._process = self._process, None
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()
        if process is not None:
            process.kill()
            process.wait()

    def _ask(self, format: str, data: bytes) -> tuple[str, str]:
        if self._peer is None:
            self._start()
        assert self._peer is not None
        request = json.dumps({"format": format, "max_bytes": self.limits.text_bytes}).encode()
        deadline = time.monotonic() + self.limits.seconds
        try:
            frames.send(self._peer, b"e", request, data, deadline)
            kind, head, body = frames.receive(self._peer, 4 * self.limits.text_bytes, deadline)
        except TimeoutError as error:
            self.close()
            raise BadData(f"takes longer than corpus.extract_seconds ({self.limits.seconds:g} s)") from error
        except (EOFError, OSError) as error:
            raise _Ended(self._end()) from error
        except BaseException:
            self.close()  # what it is about to answer would be taken for the next answer
            raise
        if kind == TEXT:
            return head.decode("utf-8", "replace"), body.decode("utf-8", "replace")
        if kind == REFUSED:
            raise BadData(head.decode("utf-8", "replace"))
        self.close()
        if kind == OUT_OF_MEMORY:
            raise _Ended(self._too_much())
        raise _Ended("its parser answered nonsense")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        path = [os.path.abspath(entry) for entry in sys.path if entry] + [_ROOT]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, str(os.getpid()), str(self.limits.memory), *path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                start_new_session=True,
            )
        self._peer = ours

    def _too_much(self) -> str:
        return f"needs more memory than corpus.extract_memory ({self.limits.memory} bytes)"

    def _end(self) -> str:
        """Why the process is gone."""
        process = self._process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)  # it has closed its end already
        code = process.returncode
        self.close()
        if code is not None and code < 0:
            how = f"ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with status {code}"
        return (
            f"its parser {how}: damaged data, or more memory than corpus.extract_memory "
            f"({self.limits.memory} bytes)"
        )


_local = threading.local()


def extractor(limits: Limits) -> Extractor:
    """The extractor of this thread: kept from slice to slice while the limits are the same."""
    found: Extractor | None = getattr(_local, "extractor", None)
    if found is None or found.limits != limits:
        if found is not None:
            found.close()
        found = _local.extractor = Extractor(limits)
    return found
