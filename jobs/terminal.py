"""What a person sees: progress on a terminal or as plain lines, and messages."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.harmless import lines
from pipelines.runtime import counted
from pipelines.sources.files import describe_left_out, describe_rejects
from retrieval.text import printable_line

PLAIN_SECONDS = 5.0

out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def columns(taken: int, most: int) -> int:
    """Columns, at most `most`, that are left of a line: what a terminal breaks goes on at its edge."""
    return max(16, min(most, out.width - taken)) if out.is_terminal else most


def show(text: object) -> None:
    """Print a result as one line, or as a line and indented ones below it."""
    out.print(lines(text))


def tell(text: object) -> None:
    """The same for what is no result: messages and errors."""
    err.print(lines(text))


def duration(seconds: float | None) -> str:
    """Seconds as people write them; a dash where they are unknown."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def set_aside(
    reject_reasons: Mapping[str, int], left_out: Mapping[str, int], notes: Mapping[str, int]
) -> list[str]:
    """Lines on what of a corpus is not in the index, or not as it was written, by reason."""
    named = {
        "rejected": describe_rejects(reject_reasons), "left out": describe_left_out(left_out),
        "noted": describe_rejects(notes),
    }  # fmt: skip
    return [f"{what}: {text}" for what, text in named.items() if text]


def describe(snapshot: dict[str, Any]) -> str:
    """One line of a progress snapshot."""
    tasks = snapshot["tasks"]
    told = f"{snapshot['stage']}: {tasks['done']} of {counted(tasks['total'], tasks['unit'])}"
    if tasks["running"]:
        told += f", {tasks['running']} running"
    if tasks["failed"]:
        told += f", {tasks['failed']} failed"
    rows = f"{snapshot['rows']:,}"
    if snapshot.get("rows_total"):
        rows += f" of {snapshot['rows_total']:,}"
    speed = f"{snapshot['rows_per_second']:,.0f} rows/s, ETA {duration(snapshot['eta_seconds'])}"
    return f"{told}, {rows} rows, {speed}"


class BuildView:
    """Listens to a build: a bar on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: Any = None
        self._stage = ""
        self._said = 0.0
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "BuildView":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """A message, or a snapshot of progress."""
        if "message" in event:
            tell(event["message"])
            return
        told = printable_line(describe(event))
        if self._bar:
            done, total = event["rows"], event.get("rows_total")
            if not total:
                done, total = event["tasks"]["done"], event["tasks"]["total"]
            self._bar.update(self._task, description=told, completed=done, total=total or None)
        elif event["stage"] != self._stage or time.monotonic() - self._said >= PLAIN_SECONDS:
            self._stage, self._said = event["stage"], time.monotonic()
            print(told, file=sys.stderr, flush=True)


class ByteView:
    """Progress in bytes for what re-reads an index; silent on work of less than two seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "ByteView":
        return self

    def __exit__(self, *_: object) -> None:
        if err.is_terminal and self._said != self._began:
            print(file=sys.stderr)

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` bytes are read."""
        now = time.monotonic()
        if now - self._said < (2.0 if err.is_terminal else PLAIN_SECONDS):
            return
        self._said = now
        rate = done / max(now - self._began, 1e-3)
        left = duration((total - done) / max(rate, 1))
        told = f"{self._what}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB, ETA {left}"
        print(
            f"\r{told}" if err.is_terminal else told,
            end="" if err.is_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )
