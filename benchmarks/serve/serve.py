"""The service against the library in process, and against LanceDB behind FastAPI, by one client in one run.

    pip install lancedb
    python benchmarks/serve/serve.py --index INDEX --queries QUERIES.jsonl [--peer]

Hybrid search without re-ranking, the query encoder included everywhere. First one request at a time, library
and services in turns: the difference of the medians is what a service costs. Then more and more clients, each
asking again as soon as it is answered: requests/s at a 99th percentile under 100 ms. Client, service and
encoder share the machine's cores. The service's cache of query vectors is off: neither of the others has one,
and the queries come again. Peer settings: those that benchmarks/search/search_peers.py finds at equal recall.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from retrieval.search import Searcher  # noqa: E402

K = 10
BLOCK = 25
CLIENTS = (1, 2, 4, 6, 8, 16, 32)
LIMIT_MS = 100
READY_S = 600


class Connection:
    """One HTTP/1.1 connection that is kept open: cheaper than a client library on shared cores."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of a search."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = (
            "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(await self._reader.readline(), 16):
                parts.append(await self._reader.readexactly(size))
                await self._reader.readline()
            await self._reader.readline()
            return int(lines[0].split()[1]), b"".join(parts)
        return int(lines[0].split()[1]), await self._reader.readexactly(int(headers["content-length"]))


def words_of(index: str, port: int, config: Path | None = None) -> list[str]:
    """The command that serves an index."""
    words = [sys.executable, "-m", "jobs", "serve", index, "--port", str(port)]
    return words + (["--config", str(config)] if config else [])


def bodies(texts: list[str]) -> list[bytes]:
    """Requests."""
    return [json.dumps({"query": text, "k": K}).encode() for text in texts]


async def loaded(port: int, requests: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Requests/s and latency of so many clients; statuses other than 200 are counted."""
    times: list[float] = []
    refused = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal refused
        connection, place = Connection(port), number * 37
        while time.perf_counter() < end:
            start = time.perf_counter()
            status, _ = await connection.post(requests[place % len(requests)])
            times.append(1000 * (time.perf_counter() - start))
            refused += status != 200
            place += 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "clients": clients, "per_second": len(times) / seconds, "p50_ms": float(p50), "p99_ms": float(p99),
        "refused": refused,
    }  # fmt: skip


def one_by_one(texts: list[str], ways: dict[str, Callable[[str], Any]]) -> dict[str, float]:
    """Median milliseconds of each way, blocks in turns; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(2):
        for first in range(0, len(texts), BLOCK):
            for name, way in ways.items():
                for text in texts[first : first + BLOCK]:
                    start = time.perf_counter()
                    way(text)
                    if round_number:
                        times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A service until the block ends."""
    place = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    process = subprocess.Popen(command, env=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + READY_S
        while True:
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} ended with {process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as found:
                    found.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                    if b" 200 " in found.recv(100):
                        break
            except OSError:
                pass
            if time.monotonic() > end:
                sys.exit(f"not ready after {READY_S} s")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


def arguments(description: str | None, most: int) -> argparse.ArgumentParser:
    """What is asked of which index."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True)
    parser.add_argument("--queries", type=Path, required=True, help="JSONL with text or question")
    parser.add_argument("--most", type=int, default=most, help="queries")
    return parser


def texts_of(path: Path, most: int) -> list[str]:
    """The first queries of a file."""
    lines = path.read_text(encoding="utf-8").splitlines()[:most]
    return [record.get("text") or record["question"] for record in map(json.loads, lines)]


def main() -> None:
    """Start the services, measure, print."""
    parser = arguments(__doc__, 200)
    parser.add_argument("--seconds", type=float, default=10, help="of each number of clients")
    parser.add_argument("--config", type=Path, help="settings of the service")
    parser.add_argument("--peer", action="store_true", help="LanceDB behind FastAPI, too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    texts = texts_of(args.queries, args.most)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if args.config is None:
            args.config = Path(folder) / "serve.yaml"
            args.config.write_text("limits: {cached_queries: 0}\n", encoding="utf-8")
        ours = words_of(args.index, 8000, args.config)
        ports = {"corpusmill serve": 8000}
        start = time.perf_counter()
        stack.enter_context(running(ours, 8000))
        print(f"corpusmill serve: ready in {time.perf_counter() - start:.1f} s", flush=True)
        if args.peer:
            peer = [sys.executable, str(HERE / "serve_peer.py"), "--index", args.index, "--folder", folder]
            stack.enter_context(running(peer, 8001))
            ports["LanceDB + FastAPI"] = 8001
        found = measured(args.index, texts, ports, args.seconds)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(index: str, texts: list[str], ports: dict[str, int], seconds: float) -> dict[str, Any]:
    """All figures, printed as they come."""
    loop = asyncio.new_event_loop()
    requests = dict(zip(texts, bodies(texts), strict=True))
    connections = {name: Connection(port) for name, port in ports.items()}
    with Searcher.open(index) as searcher:
        ways: dict[str, Callable[[str], Any]] = {"Searcher in process": lambda text: searcher(text, k=K)}
        for name, connection in connections.items():
            ways[name] = lambda text, own=connection: loop.run_until_complete(own.post(requests[text]))
        medians = one_by_one(texts, ways)
    for name, ms in medians.items():
        over = ms - medians["Searcher in process"]
        print(f"{name:<22} one at a time: median {ms:6.2f} ms ({over:+.2f})", flush=True)
    found: dict[str, Any] = {"medians_ms": medians, "loads": {}}
    for name, port in ports.items():
        rows = []
        for clients in CLIENTS:
            row = loop.run_until_complete(loaded(port, list(requests.values()), clients, seconds))
            rows.append(row)
            print(
                f"{name:<22} {clients:>3} clients: {row['per_second']:7.1f}/s, p50 {row['p50_ms']:6.1f} ms, "
                f"p99 {row['p99_ms']:6.1f} ms, {row['refused']} refused", flush=True,
            )  # fmt: skip
        good = [row["per_second"] for row in rows if row["p99_ms"] < LIMIT_MS and not row["refused"]]
        best = f"{max(good):.1f} requests/s" if good else "never"
        print(f"{name}: p99 under {LIMIT_MS} ms: {best}", flush=True)
        found["loads"][name] = rows
    return found


if __name__ == "__main__":
    main()
