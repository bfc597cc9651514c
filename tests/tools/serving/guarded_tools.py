"""A service with keys and a generator of which it has one place, in processes of its own."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from retrieval.serve.http.access import hashed_key, new_key
from tests.tools.samples.generation_tools import reply, server
from tests.tools.serving.serve_tools import Service, serving

ORIGIN = "https://a.example"
GENERATOR_KEY = "generator-key-3141592653"
PIECE_S = 0.1
CONFIG = """
access: {{keys_file: "{keys}", cors_origins: ["{origin}"]}}
limits: {{answers: 1}}
generation: {{kind: openai, model: m, base_url: "{url}", api_key_env: A_KEY, max_tokens: 900}}
"""


class Endpoint:
    """Of OpenAI's shape: writes `words`, one every PIECE_S seconds, or until the reader has `left`."""

    def __init__(self) -> None:
        self.words = 3
        self.broken = False
        self.left = threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        """The answer to a request."""
        if self.broken:
            reply(500, "out of order")(request)
            return
        request.send_response(200)
        request.end_headers()
        try:
            for number in range(self.words):
                text = "It was built in 1843 [1]. " if number == 0 else "more "
                event = {"choices": [{"delta": {"content": text}}]}
                request.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                request.wfile.flush()
                time.sleep(PIECE_S)
            request.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.left.set()


@dataclass(frozen=True)
class Guarded:
    """A running service, its keys, and its generator."""

    service: Service
    search: str
    admin: str
    endpoint: Endpoint

    @property
    def headers(self) -> dict[str, str]:
        """Those of a request that may search."""
        return {"authorization": f"Bearer {self.search}"}


@contextmanager
def guarding(index: Path, folder: Path) -> Iterator[Guarded]:
    """The service, until the block ends."""
    search, admin, endpoint = new_key(), new_key(), Endpoint()
    (folder / "keys").write_text(f"# who\n\nsearch {hashed_key(search)}  # a client\n")
    variables = {"A_KEY": GENERATOR_KEY, "CORPUSMILL_ADMIN_KEY": admin}
    with server(endpoint) as url:
        config = CONFIG.format(url=url, keys=folder / "keys", origin=ORIGIN)
        with serving(index, folder, config, **variables) as service:
            yield Guarded(service, search, admin, endpoint)
