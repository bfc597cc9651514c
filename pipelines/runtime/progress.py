"""What a build tells while it runs: to its terminal, and to `progress.json` for `corpusmill status`."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from pydantic import Field
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from retrieval.errors import StorageError
from retrieval.format import Amount
from retrieval.storage import Count, Shape, Store, read_json_as

PROGRESS_KEY = "progress.json"
REPORT_SECONDS = 1.0
WRITE_SECONDS = {True: 2.0, False: 10.0}  # a local disk, object storage
FAILURE_EXAMPLES = 10  # failures and rejects that are kept to be named


@ray.remote(num_cpus=0, max_restarts=0)
class Tracker:
    """Hears from workers what has started and failed; the driver hears of results by itself."""

    def __init__(self) -> None:
        self._running: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._begun: dict[str, int] = {}

    def started(self, key: str) -> None:
        self._running[key] = time.time()
        self._failed.pop(key, None)  # a task that runs again has not failed yet

    def failed(self, key: str, reason: str) -> None:
        self._running.pop(key, None)
        self._failed[key] = reason

    def finished(self, key: str) -> None:
        self._running.pop(key, None)
        self._begun.pop(key, None)

    def begun(self, key: str) -> int:
        """How often actors have begun with a task, this time counted."""
        self._begun[key] = self._begun.get(key, 0) + 1
        return self._begun[key]

    def state(self) -> tuple[list[str], dict[str, str]]:
        """Keys of running tasks, and reasons of failed ones."""
        return sorted(self._running), dict(self._failed)


def start_tracker() -> Any:
    """A tracker on the driver's node: one that dies with another node would be missed."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = Tracker
    return actor.options(scheduling_strategy=here).remote()


@dataclass
class StageState:
    """Counters of the stage at work. `rows_done` counts this run only, so that a rate is honest.

    unit: what a task of it makes or takes, such as a slice, a part, a shard.
    """

    stage: str
    unit: str
    total: int
    done: int
    rows_total: int | None = None
    rows_before: int = 0
    rows_done: int = 0
    done_before: int = 0
    running: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    first_result: float | None = None

    def rate(self) -> float:
        """Rows a second since the stage began."""
        return self.rows_done / max(time.monotonic() - self.began, 1e-3)

    def eta_seconds(self) -> float | None:
        """Seconds left at this run's pace; None before the first result."""
        fresh = self.done - self.done_before
        if not fresh or self.done >= self.total:
            return 0.0 if self.done >= self.total else None
        elapsed = time.monotonic() - self.began
        if self.rows_total and self.rows_done:
            return elapsed * max(self.rows_total - self.rows_before - self.rows_done, 0) / self.rows_done
        return elapsed * (self.total - self.done) / fresh


def counted(count: int, unit: str) -> str:
    """So many of a unit, such as "1 shard" or "3 ranges of ids"."""
    noun, *rest = unit.split(" ")
    return " ".join([f"{count:,}", noun if count == 1 else f"{noun}s", *rest])


class _Tasks(Shape):
    unit: str = "task"
    total: Count
    done: Count
    running: Count
    failed: Count


class _Snapshot(Shape):
    state: str = ""
    stage: str = ""
    tasks: _Tasks | None = None
    rows: Count = 0
    rows_total: Count | None = None
    rows_per_second: Amount = 0.0
    eta_seconds: Count | None = None
    error: str = ""
    failures: dict[str, str] = Field(default_factory=dict)
    documents: Count = 0
    rejected: Count = 0
    passages: Count = 0
    truncated: Count = 0
    reject_reasons: dict[str, Count] = Field(default_factory=dict)
    version: Count | None = None
    fingerprint: str = ""
    wall_seconds: dict[str, Amount] = Field(default_factory=dict)
    rows_by_stage: dict[str, Count] = Field(default_factory=dict)
    updated: Amount = 0.0
    resume: str = ""


def read_progress(store: Store) -> dict[str, Any] | None:
    """The last snapshot of a build, None where there was none. Raises IndexDamaged."""
    data = store.read_or_none(PROGRESS_KEY)
    return None if data is None else read_json_as(_Snapshot, data, f"{store.url}/{PROGRESS_KEY}").model_dump()


class Progress:
    """The driver's view of a build. `listener` gets the snapshot about once a second."""

    def __init__(self, store: Store, command: str, listener: Callable[[dict[str, Any]], None]) -> None:
        self.store = store
        self.command = command
        self.counts = {"documents": 0, "rejected": 0, "passages": 0, "truncated": 0}
        self.reject_reasons: dict[str, int] = {}
        self.version: int | None = None
        self.fingerprint = ""
        self.error = ""
        self.walls: dict[
            str, float
        ] = {}  # seconds by stage, and rows done in them, over all runs of the build
        self.rows: dict[str, int] = {}
        self.usages: dict[str, list[dict[str, Any]]] = {}  # of this run, by stage
        self.guard: Callable[[], None] = lambda: None  # raises once this builder must stop
        self.tracker: Any = None
        self._listener = listener
        self._stage = StageState("plan", "slice", 0, 0)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """One line for the person who watches."""
        self._listener({"message": text})

    def begin(self, fingerprint: str, tracker: Any) -> None:
        """Start to report; wall times of an earlier run of the same build are carried on."""
        earlier = read_progress(self.store) or {}
        if earlier.get("fingerprint") == fingerprint:
            self.walls, self.rows = earlier["wall_seconds"], earlier["rows_by_stage"]
        self.fingerprint = fingerprint
        self.tracker = tracker
        self._thread = threading.Thread(target=self._report, name="progress", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def stage(
        self, name: str, unit: str, total: int, done: int = 0, *, rows_total: int | None = None,
        rows_before: int = 0,
    ) -> Iterator[None]:  # fmt: skip
        """Report on one stage while the block runs; see StageState."""
        self._stage = StageState(name, unit, total, done, rows_total, rows_before, done_before=done)
        began = time.monotonic()
        before = self.walls.get(name, 0.0)
        try:
            yield
        finally:
            self.walls[name] = before + time.monotonic() - began

    def finished(self, key: str, rows: int, usage: dict[str, Any]) -> None:
        """A task's result has arrived."""
        with self._lock:
            self.usages.setdefault(self._stage.stage, []).append(usage)
            self._stage.done += 1
            self._stage.rows_done += rows
            self.rows[self._stage.stage] = self.rows.get(self._stage.stage, 0) + rows
        self.tracker.finished.remote(key)

    @property
    def unit(self) -> str:
        """What the tasks of this stage are."""
        return self._stage.unit

    def failures(self) -> dict[str, str]:
        """Keys and reasons of what failed in this stage."""
        self._poll()
        return dict(self._stage.failed)

    def end(self, state: str) -> None:
        """Write the last word: `done`, `failed` or `interrupted`."""
        self._stop.set()
        if self._thread:
            self._thread.join()
            self._write(state)
            # Ray Data keeps handles of it: in a driver that goes on, it would stay for every build.
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(self.tracker)

    def snapshot(self, state: str) -> dict[str, Any]:
        """Everything that `status` shows."""
        stage = self._stage
        with self._lock:
            eta = stage.eta_seconds()
            return {
                "state": state,
                "stage": stage.stage,
                "tasks": {
                    "unit": stage.unit,
                    "total": stage.total,
                    "done": stage.done,
                    "running": len(stage.running),
                    "failed": len(stage.failed),
                },
                "rows": stage.rows_before + stage.rows_done,
                "rows_total": stage.rows_total,
                "rows_per_second": round(stage.rate(), 1),
                "eta_seconds": None if eta is None else round(eta),
                "error": self.error,
                "failures": dict(list(stage.failed.items())[:FAILURE_EXAMPLES]),
                **self.counts,
                "reject_reasons": self.reject_reasons,
                "version": self.version,
                "fingerprint": self.fingerprint,
                "wall_seconds": {name: round(seconds, 3) for name, seconds in self.walls.items()},
                "rows_by_stage": dict(self.rows),
                "updated": time.time(),
                "resume": self.command,
            }

    def _report(self) -> None:
        written = 0.0
        while not self._stop.wait(REPORT_SECONDS):
            self._poll()
            self._listener(self.snapshot("running"))
            if time.monotonic() - written >= WRITE_SECONDS[self.store.is_local]:
                self._write("running")
                written = time.monotonic()

    def _poll(self) -> None:
        # The tracker is a courtesy: a build goes on without it.
        with contextlib.suppress(ray.exceptions.RayError):
            running, failed = ray.get(self.tracker.state.remote(), timeout=2)
            with self._lock:
                self._stage.running, self._stage.failed = running, failed

    def _write(self, state: str) -> None:
        # A full disk must not hide the error that stops the build.
        with contextlib.suppress(OSError, StorageError):
            self.store.put_json(PROGRESS_KEY, self.snapshot(state))
