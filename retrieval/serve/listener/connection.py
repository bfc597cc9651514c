"""One connection: uvicorn's, which hands a request on when it has arrived whole and its sender may ask it."""

import fcntl
import math
import socket
import struct
import termios
import time
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from retrieval.errors import CorpusmillError
from retrieval.serve.errors import HeadTooLarge, Malformed, Overloaded, TooSlow
from retrieval.serve.listener.hall import PARTING_S, Hall
from retrieval.serve.listener.rules import Head

PIECE = 16_384  # bytes that are parsed at a time, so that a head is not read far beyond its limit
HEADERS = 100  # of a request: small ones take far more memory than they have bytes
WRAPPING = 8  # bytes that may come for each byte of a body, chunks and what trails them
TAKEN = 65_536  # bytes of an answer that a client takes at least within `limits.taking_s`


class Connection(HttpToolsProtocol):
    """Steps: a connection, the beginning of a head, its end, that of a body, that of an answer.

    `since`: when the last one was, of time.monotonic(). `key`: whether the last request came with one.
    """

    def __init__(self, hall: Hall, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.since = time.monotonic()
        self.key = False
        self._hall = hall
        self._reading = ""  # "head" or "body" while one is under way
        self._read = 0  # bytes of it
        self._came = 0  # bytes since its beginning, as they are on the wire
        self._begun = 0  # requests that are being answered, or wait for their turn
        self._held: tuple[RequestResponseCycle, Any] | None = None  # what is to begin with its body's end
        self._current: RequestResponseCycle | None = None  # of the body that arrives
        self._before: RequestResponseCycle | None = None  # what was last before that
        self._unsent = 0  # bytes of answers that waited when they were looked at last
        self._refusal: bytes | None = None  # the last that is sent here
        self._parting = False  # nothing more is read
        self._left = 0  # bytes that may be thrown away before the connection breaks

    # The transport's calls

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        try:
            self._hall.enter(self, self._hall.is_free(self.client))
        except Overloaded:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_body()
        self._hall.leave(self)
        self._hall.turns.leave(self)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            if self._parting:
                self._left -= len(data) - start
                if self._left < 0:
                    self.transport.abort()
                return
            self._parse(data[start : start + PIECE] if len(data) > PIECE else data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._hall.turns.over(self)  # it computes no more until somebody reads
        self._step()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._step()

    # The parser's calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading, self._read = "head", 0
        self._size = 0
        self._step()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._parting or self._reading == "body":  # what trails a body changes nothing
            return
        super().on_header(name, value)
        self._size += len(name) + len(value) + 4
        if len(self.headers) > HEADERS:
            self._refuse(HeadTooLarge(f"there are more than {HEADERS} headers"))

    def on_headers_complete(self) -> None:
        if self._parting:
            return
        self._reading, self._read, self._came = "body", 0, 0
        self._step()
        path = (httptools.parse_url(self.url).path or b"").decode("ascii")
        method, version = self.parser.get_method().decode("ascii"), self.parser.get_http_version()
        head = Head(method, path, version, self._size, self.headers)
        denial = self._hall.rules.denial(head, self.server, self.client)
        objection = self._hall.rules.objection(head, denial) or self._place(denial is None)
        if objection is not None:
            self._refuse(objection)
            return
        self._before = self.cycle
        super().on_headers_complete()
        self._current = self.cycle
        if self.expect_100_continue and head.brings_body and not self._begun:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.cycle.waiting_for_100_continue = False

    def on_body(self, body: bytes) -> None:
        if self._parting:
            return
        self.cycle.body += body
        self._read += len(body)
        self._hall.arriving += len(body)
        if self._read > self._hall.limits.body_bytes:
            self._refuse(self._hall.rules.too_large())
        elif self._hall.arriving > self._hall.limits.arriving_bytes:
            self._refuse(self._hall.crowded())

    def on_message_complete(self) -> None:
        if self._parting:
            return
        self._forget_body()
        self._reading, self._current = "", None
        self._step()
        super().on_message_complete()
        if self._held is not None:
            held, self._held = self._held, None
            self._begin(*held)

    # uvicorn's calls

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.more_body:
            self._held = (cycle, app)
        else:
            self._begin(cycle, app)

    def on_response_complete(self) -> None:
        self._begun -= 1
        self._hall.turns.over(self)
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the hall looks after that
        self._step()
        if self._refusal is not None and not (self._begun or self.pipeline or self.transport.is_closing()):
            self._part()

    def send_400_response(self, msg: str) -> None:
        if not self._parting:
            self._refuse(Malformed("this is no HTTP request"))

    def _unsupported_upgrade_warning(self) -> None:
        if not self._parting:  # the parser reads no further than a request for another protocol
            self.cycle.keep_alive = False

    # What the hall asks and does

    @property
    def answering(self) -> bool:
        """Whether a request is being answered, or waits for that."""
        return self._begun > 0

    @property
    def patience(self) -> float:
        """Seconds that may pass until the next step."""
        limits = self._hall.limits
        if self._parting and not self._begun:
            return PARTING_S
        if self.transport.is_closing() or self.flow.write_paused:
            return limits.taking_s
        if self._begun:
            return math.inf  # the service has its own limits
        if self._reading:
            return limits.head_s if self._reading == "head" else limits.body_s
        if self.cycle is None:
            return limits.head_s
        return limits.taking_s if self._untaken() else limits.idle_s

    def expire(self) -> None:
        """The time for the next step is over."""
        left = self.transport.get_write_buffer_size()
        if self.flow.write_paused and left + TAKEN <= self._unsent:
            self._unsent = left
            self._step()
        elif self._reading and not (self._parting or self._begun):
            limits, what = self._hall.limits, self._reading
            seconds = limits.head_s if what == "head" else limits.body_s
            self._refuse(TooSlow(f"the {what} took longer than {seconds:g} s (limits.{what}_s)"))
        else:
            self.abort()

    def abort(self) -> None:
        """Break the connection."""
        self._parting, self._left = True, 0
        self.transport.abort()

    # The rest

    def _step(self) -> None:
        self.since = time.monotonic()
        self._hall.changed(self)

    def _parse(self, data: bytes) -> None:
        self._came += len(data)
        if self._reading != "body":
            self._read += len(data)
        super().data_received(data)
        if self._reading == "head" and self._read > self._hall.limits.head_bytes and not self._parting:
            self._refuse(self._hall.rules.too_long(len(self.url)))
        if self._current is not None and self._came > WRAPPING * self._hall.limits.body_bytes:
            self._refuse(self._hall.rules.too_large())

    def _place(self, key: bool) -> CorpusmillError | None:
        """Move among those with or without a key; why that cannot be."""
        try:
            self._hall.enter(self, key)
        except Overloaded as error:
            return error
        self.key = key
        if not key and (self._begun or self._untaken()):
            return Overloaded("without a key, the next request is taken when the last answer is", hint="")
        return None

    def _untaken(self) -> bool:
        """Whether the client has not taken all of an answer."""
        if self.transport.get_write_buffer_size():
            return True
        found: socket.socket = self.transport.get_extra_info("socket")
        return bool(struct.unpack("i", fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(4)))[0])

    def _forget_body(self) -> None:
        if self._reading == "body":
            self._hall.arriving -= self._read
            self._read = 0

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._begun += 1
        start = partial(super()._start_asgi_task, cycle, app)
        if self.key:
            start()
        else:
            self._hall.turns.ask(self, start)

    def _refuse(self, error: CorpusmillError) -> None:
        """Answer with an error after what is being answered, and end the connection."""
        self._forget_body()
        if self._current is not None:  # it does not begin
            self._held, self.cycle = None, self._before  # type: ignore[assignment]  # it may be none
            if self.pipeline and self.pipeline[0][0] is self._current:
                self.pipeline.popleft()
            self._current = None
        self._parting, self._reading = True, ""
        self._left = self._hall.limits.body_bytes if self.key else TAKEN
        self._refusal = self._hall.refusal(error, dict(self.headers or []))
        if self._begun or self.pipeline:
            self.flow.pause_reading()
        else:
            self._part()

    def _part(self) -> None:
        assert self._refusal is not None
        self.transport.write(self._refusal)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()  # else the client might lose the answer with what it still sends
        else:
            self.transport.close()
        self._step()
