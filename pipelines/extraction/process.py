"""The reader's side: one process for all documents of a thread, ended when a document breaks a limit."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.extraction.answers import BadData, Extracted
from pipelines.extraction.frames import Message, Peer
from pipelines.extraction.shared_memory import SharedMemory
from pipelines.extraction.start import start
from pipelines.extraction.worker import (
    DATA,
    END,
    EXTRACT,
    NEXT,
    OUT_OF_MEMORY,
    PIECE,
    READ,
    REFUSED,
    ROW_REFUSED,
    STOP,
    TABLE,
    TEXT,
)  # fmt: skip
from retrieval.errors import BuildFailed

_AHEAD_BYTES = 64 << 10
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Limits:
    """What one document may cost: bytes of memory, seconds, and bytes of text that it may give.

    For tables, the seconds of a batch of rows, without those in which its bytes are fetched.
    """

    memory: int = 1_000_000_000
    seconds: float = 60
    text_bytes: int = 256_000_000


class _Ended(Exception):
    """The process ended, or ran out of memory; the message is a reject's reason."""


@dataclass(slots=True)
class _Document:
    data: bytes | BadData
    at: subprocess.Popen[bytes] | None = None  # the process that it was sent to

    @property
    def is_short(self) -> bool:
        """Whether the socket takes it while nobody reads there."""
        return isinstance(self.data, bytes) and len(self.data) <= _AHEAD_BYTES


class Extractor:
    """A process that parses. It starts with the first document; not for use by several threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: Peer | None = None

    def extract(self, parser: str, data: bytes) -> Extracted:
        """Title, text and notes of a document, from `extract(data, max_bytes)` of the module `parser`.

        The process imports that module, such as pipelines.extraction.html, and what it imports. Raises
        BadData where the document cannot be read or breaks a limit; then the process is another one.
        """
        (answer,) = self.extract_all(parser, [data])
        if isinstance(answer, BadData):
            raise answer
        return answer

    def extract_all(
        self, parser: str, documents: Iterable[bytes | BadData]
    ) -> Generator[Extracted | BadData, None, None]:
        """`extract` of each document, errors in its place; a BadData stands for itself.

        While a document is parsed, the next one is fetched and, if it is short, on its way already.
        """
        request = {"parser": parser, "max_bytes": self.limits.text_bytes}
        left = map(_Document, documents)
        current = next(left, None)
        try:
            while current is not None:
                following = next(left, None)
                yield self._answer(request, current, following)
                current = following
        except BaseException:
            self.close()  # what is on its way will not be asked for
            raise

    def _answer(
        self, request: dict[str, Any], current: "_Document", following: "_Document | None"
    ) -> Extracted | BadData:
        if isinstance(current.data, BadData):
            return current.data
        if len(current.data) > self.limits.memory:
            return BadData(self._too_much())

        def ask() -> Generator[Extracted, None, None]:
            self._send(request, current)
            if following is not None and following.is_short:
                self._send(request, following)
            _, head, text = self._reply({TEXT})
            yield _extracted(head, text)

        try:
            (answer,) = self._again(ask)
        except BadData as error:
            return error
        return answer

    def _send(self, request: dict[str, Any], document: "_Document") -> None:
        """Send a document, unless the process has it already."""
        if isinstance(document.data, bytes) and (self._process is None or document.at is not self._process):
            self._say(EXTRACT, request, document.data)
            document.at = self._process

    def row_batches(
        self, source: io.RawIOBase, **request: Any
    ) -> Generator[tuple[int, memoryview | str], None, None]:
        """(first row, Arrow IPC stream of some rows, or why there are none) of a Parquet file.

        `request` is that of `tables.row_batches`, which runs in the process. Raises BadData as `extract`, and
        what reading `source` raises.
        """
        request |= {"size": source.seek(0, 2), "from_row": 0, "given": 0}

        def ask() -> Generator[tuple[int, memoryview | str], None, None]:
            self._say(TABLE, request)
            kind, head, body = self._reply({PIECE, ROW_REFUSED, END}, source)
            while kind != END:
                self._say(NEXT)  # which is made while this one is used
                row, after, reason = json.loads(bytes(head))
                try:
                    yield row, reason if kind == ROW_REFUSED else body
                except GeneratorExit:
                    self._stop(source)
                    raise
                request["from_row"] = after
                request["given"] += len(body)
                kind, head, body = self._reply({PIECE, ROW_REFUSED, END}, source)

        yield from self._again(ask)

    def close(self) -> None:
        """End the process, whatever it does; the next document starts another one."""
        process, self._process = self._process, None
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()
        if process is not None:
            process.kill()
            process.wait()

    def _again(self, ask: Callable[[], Generator[Answer, None, None]]) -> Iterator[Answer]:
        """What `ask` gives; where the process ends, a fresh one goes on with what is left.

        So what earlier documents left behind does not count against this one.
        """
        while True:
            fresh = self._process is None
            try:
                with contextlib.closing(ask()) as answers:
                    for answer in answers:
                        yield answer
                        fresh = False
                return
            except _Ended as error:
                if fresh:
                    raise BadData(str(error)) from error

    def _stop(self, source: io.RawIOBase) -> None:
        """Leave a table before its end, after NEXT."""
        with contextlib.suppress(_Ended, BadData):  # then the process is gone too
            if self._reply({PIECE, ROW_REFUSED, END}, source)[0] != END:
                self._say(STOP)
                self._reply({END})

    def _say(self, kind: bytes, head: dict[str, Any] | None = None, body: bytes = b"") -> None:
        if self._process is None:
            try:
                end, memory = self._start()
            except OSError as error:
                raise BuildFailed(
                    f"the process that parses foreign files cannot be started: {error}",
                    hint="Give this machine more memory, or let it have more processes; then run it again.",
                ) from error
            self._peer = Peer(end, self.limits.seconds, reads=memory)
        with self._limited() as peer:
            peer.send(kind, json.dumps(head or {}).encode(), body)

    def _start(self) -> tuple[socket.socket, SharedMemory]:
        shared = SharedMemory.create()
        try:
            self._process, end = start(self.limits.memory, shared)
            return end, SharedMemory(shared)
        finally:
            os.close(shared)

    def _reply(self, kinds: Set[bytes], source: io.RawIOBase | None = None) -> Message:
        """The next message of one of `kinds`; bytes of `source` that are asked for before it are sent."""
        left = self.limits.seconds
        while True:
            with self._limited() as peer:
                before = time.monotonic()
                kind, head, body = peer.receive(self.limits.memory, left)
                left -= time.monotonic() - before
                if kind == READ and source is not None:
                    peer.send(DATA, b"", _read(source, *json.loads(bytes(head))))
                    continue
            if kind == REFUSED:
                raise BadData(str(head, "utf-8", "replace"))
            if kind in kinds:
                return kind, head, body
            self.close()
            raise _Ended(self._too_much() if kind == OUT_OF_MEMORY else "its parser answered nonsense")

    @contextlib.contextmanager
    def _limited(self) -> Iterator[Peer]:
        """The socket. What goes wrong with it ends the process: its next answer would be to another."""
        assert self._peer is not None
        try:
            yield self._peer
        except TimeoutError as error:
            self.close()
            raise BadData(f"takes longer than corpus.extract_seconds ({self.limits.seconds:g} s)") from error
        except (EOFError, OSError, ValueError) as error:
            raise _Ended(self._why_ended()) from error
        except BaseException:
            self.close()
            raise

    def _too_much(self) -> str:
        return f"needs more memory than corpus.extract_memory ({self.limits.memory} bytes)"

    def _why_ended(self) -> str:
        process = self._process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)  # it has closed its end already
        code = process.returncode
        self.close()
        how = f"with status {code}" if code is None or code >= 0 else f"by {signal.Signals(-code).name}"
        return (
            f"its parser ended {how}: damaged data, or more memory than corpus.extract_memory "
            f"({self.limits.memory} bytes)"
        )


def _extracted(head: memoryview, text: memoryview) -> Extracted:
    """What the process says of a document; raises BadData for what is no such answer."""
    try:
        title, notes = json.loads(bytes(head))
        return Extracted(_whole(title), str(text, "utf-8", "replace"), tuple(map(_whole, notes)))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("its parser answered nonsense") from error


def _whole(text: str) -> str:
    """Text that can be stored: half a pair is no character."""
    return text.encode("utf-8", "replace").decode()


def _read(source: io.RawIOBase, offset: int, size: int) -> bytes:
    source.seek(offset)
    return source.read(size) or b""


_local = threading.local()


def thread_extractor(limits: Limits) -> Extractor:
    """The extractor of this thread: kept from slice to slice while the limits are the same."""
    found: Extractor | None = getattr(_local, "extractor", None)
    if found is None or found.limits != limits:
        if found is not None:
            found.close()
        found = _local.extractor = Extractor(limits)
    return found
