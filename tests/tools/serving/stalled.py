"""Clients without a key that begin something and stop, as many as asked for, in a process of their own.

    python -m tests.tools.serving.stalled PORT KIND COUNT

Says `ready` when all have begun. A connection that the service closes is opened again some seconds later.
Ends with its standard input.
"""

import asyncio
import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DRIP_S = 1.0
AGAIN_S = (2.5, 7.5)
TIMEOUT_S = 5
PAUSE_S = 0.02
ROOT = Path(__file__).resolve().parents[3]
LENGTH = b"content-length: 500\r\n\r\n{"
END = b" HTTP/1.1\r\nhost: localhost\r\n"


@dataclass(frozen=True)
class Kind:
    """What is sent at once, and then by the second. reads: what the service answers is taken."""

    first: bytes
    drip: bytes = b""
    reads: bool = True


KINDS = {
    "nothing sent": Kind(b""),
    "half a head": Kind(b"POST /v1/search" + END + b"x-a: "),
    "most of a long head": Kind(b"POST /v1/search" + END + b"x-a: " + b"a" * 31_000),
    "a byte of head a second": Kind(b"POST /v1/search" + END + b"x-a: ", b"a"),
    "body for /healthz": Kind(b"POST /healthz" + END + LENGTH),
    "body without a key": Kind(b"POST /v1/search" + END + LENGTH),
    "a byte of body a second": Kind(b"POST /v1/search" + END + LENGTH, b" "),
    "body with a wrong key": Kind(b"POST /v1/search" + END + b"authorization: Bearer x\r\n" + LENGTH),
    "body for no route": Kind(b"POST /nothing" + END + LENGTH),
    "GET with a body": Kind(b"GET /readyz" + END + LENGTH),
    "idle after an answer": Kind(b"GET /healthz" + END + b"\r\n"),
    "answers nobody reads": Kind((b"GET /openapi.json" + END + b"\r\n") * 50, reads=False),
    "one answer nobody reads": Kind(b"GET /openapi.json" + END + b"\r\n", reads=False),
    "TLS": Kind(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40),
    "chunks without an end": Kind(b"POST /v1/search" + END + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"),
    "waits for 100 Continue": Kind(
        b"POST /v1/search" + END + b"expect: 100-continue\r\ncontent-length: 500\r\n\r\n"
    ),
}  # fmt: skip


@contextmanager
def stalled(port: int, kind: str, count: int) -> Iterator[None]:
    """So many of a kind, from the time when all have begun to the end of the block."""
    words = [sys.executable, "-m", "tests.tools.serving.stalled", str(port), kind, str(count)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.stdin.close()
        process.wait(30)


class Searches:
    """One search after the other, no query twice, every other one over a connection of its own."""

    def __init__(self, port: int, key: str, source: str = "127.0.0.1") -> None:
        """source: the address that they come from."""
        self._port = port
        self._source = source
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._kept = self._connection()
        self._number = 0

    def _connection(self) -> http.client.HTTPConnection:
        source = (self._source, 0)
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S, source_address=source)

    def ask(self) -> float | None:
        """Milliseconds of a search; None if it was not answered."""
        self._number += 1
        connection = self._kept if self._number % 2 else self._connection()
        body = json.dumps({"query": f"which note number {self._number} is about bees?", "k": 10})
        start = time.perf_counter()
        try:
            connection.request("POST", "/v1/search", body, self._headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        if connection is not self._kept:
            connection.close()
        return 1000 * (time.perf_counter() - start) if answer.status == 200 else None

    def run(self, searches: int) -> tuple[float, float]:
        """Share that was answered, and the 95th percentile of their milliseconds."""
        times = []
        for _ in range(searches):
            times.append(self.ask())
            time.sleep(PAUSE_S)
        found = [ms for ms in times if ms is not None]
        return len(found) / searches, float(np.percentile(found or [np.inf], 95))


async def client(port: int, kind: Kind, begun: asyncio.Semaphore) -> None:
    """One of them, for ever."""
    told = False
    while True:
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            found = socket.socket()
            found.setblocking(False)
            if not kind.reads:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            try:
                await asyncio.wait_for(
                    asyncio.get_running_loop().sock_connect(found, ("127.0.0.1", port)), 10
                )
                await asyncio.get_running_loop().sock_sendall(found, kind.first)
                if not told:
                    told = True
                    begun.release()
                await until_closed(found, kind)
            finally:
                found.close()
        await asyncio.sleep(random.uniform(*AGAIN_S))


async def until_closed(found: socket.socket, kind: Kind) -> None:
    """Read, if this kind does, and send a byte now and then."""
    loop = asyncio.get_running_loop()
    if not kind.reads:
        while found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01":  # established
            await asyncio.sleep(DRIP_S)
        return
    while True:
        try:
            if not await asyncio.wait_for(loop.sock_recv(found, 65_536), DRIP_S if kind.drip else None):
                return
        except TimeoutError:
            await loop.sock_sendall(found, kind.drip)


async def main(port: int, name: str, count: int) -> None:
    """All of them."""
    begun = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(client(port, KINDS[name], begun)) for _ in range(count)]
    for _ in tasks:
        await begun.acquire()
    print("ready", flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True
    ).start()
    await ended.wait()
    os._exit(0)  # sockets and all


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
