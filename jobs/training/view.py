"""Progress of a training: a line on a terminal that is rewritten, plain lines every few seconds elsewhere."""

import sys
import time
from typing import Any

from jobs.terminal import PLAIN_SECONDS, duration, err, tell


class TrainView:
    """Listens to a training; a context manager."""

    def __init__(self) -> None:
        self._said = 0.0
        self._open = False
        self._dev: Any = None

    def __enter__(self) -> "TrainView":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, event: dict[str, Any]) -> None:
        """A message, the queries that are mined, or where a training stands."""
        if "message" in event:
            self._end()
            tell(event["message"])
            return
        if "mining" in event:
            done, total = event["mining"]
            self._say(f"mine: {done:,} of {total:,} queries", done == total)
            return
        found = event["progress"]
        news = found.get("dev") != self._dev
        self._dev = found.get("dev")
        self._say(_line(found), news)

    def _say(self, line: str, now: bool) -> None:
        wait = 0.5 if err.is_terminal else PLAIN_SECONDS
        if not now and time.monotonic() - self._said < wait:
            return
        self._said = time.monotonic()
        self._open = err.is_terminal
        start, end = ("\r\x1b[K", "") if self._open else ("", "\n")
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def _end(self) -> None:
        if self._open:
            print(file=sys.stderr)
            self._open = False


def _line(found: dict[str, Any]) -> str:
    told = f"step {found['step']:,} of {found['steps']:,}"
    if "loss" in found:
        told += f", loss {found['loss']:.4f}, rate {found['learning_rate']:.2g}"
        told += f", {found['examples_per_second']:.1f} examples/s, ETA {duration(found['eta_seconds'])}"
    if found.get("dev"):
        name, value = next(iter(found["dev"].items()))
        told += f"; dev {name} {value:.4f} (best at step {found['best_step']})"
    if found.get("collapsed"):
        told += "; WARNING: the prior has settled on one passage; lower rag.prior_scale or the rate"
    return told
