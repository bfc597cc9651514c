"""What the tests of generation share: a judge, hits, and passages about an oil crisis and other things."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from retrieval.format.passages import Passage
from retrieval.generation.evidence import Judge
from retrieval.generation.generators.generator import Generator
from retrieval.generation.prompt import Prompt, make_prompt
from retrieval.results.search_result import Coverage, Hit, Result

Handler = Callable[[BaseHTTPRequestHandler], None]
OIL = (
    "The 1973 oil crisis began in October 1973 when the members of OAPEC proclaimed an oil embargo. By the "
    "end of the embargo in March 1974, the price of oil had risen from US$3 per barrel to nearly $12."
)
VIOLIN = "Antonio Stradivari made violins in Cremona. Many of his instruments are played today."
BEES = "A bee colony has one queen. Worker bees collect nectar and pollen, and dance to tell where it is."


def passage(number: int, title: str, text: str, start: int = 100) -> Passage:
    """A passage of a document of its own, `start` characters into it."""
    return Passage(f"d{number}#0", f"d{number}", title, text, start, start + len(text), "file", {})


def hits(*texts: tuple[str, str]) -> list[Hit]:
    """Hits in this order; texts are (title, text)."""
    return [Hit(n, 1 / n, **vars(passage(n, *pair)), stages={}) for n, pair in enumerate(texts, 1)]


def found_by(question: str, found: Sequence[Hit]) -> Result:
    """A search of version 7, of which two passages did not answer."""
    coverage = Coverage.of(10, 8, ("b",))
    return Result(question, 7, False, coverage, {"encode": 1.0, "total": 2.0}, tuple(found))


HITS = hits(("1973 oil crisis", OIL), ("Violin", VIOLIN), ("Bees", BEES))


@cache
def judge() -> Judge:
    """The packaged models, loaded once."""
    return Judge.open()


def prompt(question: str, generator: Generator) -> Prompt:
    """A prompt over HITS."""
    return make_prompt(question, list(HITS), generator.count_tokens, 1_024)


async def collect(deltas: AsyncIterator[str]) -> list[str]:
    """All deltas."""
    return [delta async for delta in deltas]


def write(generator: Generator, asked: Prompt, max_tokens: int = 12, stop: Sequence[str] = ()) -> str:
    """A whole answer, greedy."""
    stream = generator.stream(asked, max_tokens=max_tokens, temperature=0, stop=stop)
    return "".join(asyncio.run(collect(stream)))


@contextmanager
def server(handle: Handler) -> Iterator[str]:
    """A server of one behaviour."""

    class One(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.sent = self.rfile.read(int(self.headers["Content-Length"]))
            handle(self)

        def log_message(self, *_: object) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), One)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1"
    finally:
        running.shutdown()
        running.server_close()


def reply(status: int, body: str) -> Handler:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.end_headers()
        request.wfile.write(body.encode())

    return handle
