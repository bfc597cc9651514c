"""Progress of a stage in queries."""

import sys
import time

from jobs.terminal import PLAIN_SECONDS, duration, err


class QueryView:
    """Progress of a stage in queries; silent on one of less than two seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._said = 0.0
        self._open = False  # a line on the terminal is not ended yet

    def __enter__(self) -> "QueryView":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` queries are ranked by a stage."""
        now = time.monotonic()
        if stage != self._stage:
            self._end()
            self._stage, self._began, self._said = stage, now, now
        if now - self._said < (2.0 if err.is_terminal else PLAIN_SECONDS):
            return
        self._said = now
        left = duration((now - self._began) / done * (total - done) if done else None)
        line = f"{stage}: {done:,} of {total:,} queries, ETA {left}"
        self._open = err.is_terminal
        print(
            f"\r{line}" if self._open else line, end="" if self._open else "\n", file=sys.stderr, flush=True
        )

    def _end(self) -> None:
        if self._open:
            print(file=sys.stderr)
            self._open = False
