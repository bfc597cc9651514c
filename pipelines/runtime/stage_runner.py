"""Runs one stage of a build on Ray Data: a list of tasks in, one result a task out, in any order.

A task is a row that passes through one or more steps with everything that belongs to it, because Ray
Data bundles small blocks and would mix tasks otherwise. A step is a function run as tasks, or a class
whose objects live in actors for the whole stage.
"""

import contextlib
import json
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipelines.config import RaySettings
from pipelines.runtime.progress import FAILURE_EXAMPLES, Progress, counted
from pipelines.runtime.usage import Usage
from retrieval.errors import BuildFailed, CorpusmillError

GO_ON = "What is finished is kept; run the same command again."


@dataclass
class Task:
    """A piece of a stage's work, such as a slice, a part or a shard.

    `values` are plain JSON, `buffers` are bytes that Arrow carries.
    """

    key: str
    values: dict[str, Any]
    buffers: dict[str, bytes] = field(default_factory=dict)

    def to_table(self) -> pa.Table:
        """One row."""
        columns = {
            "key": pa.array([self.key], pa.string()),
            "values": pa.array([json.dumps(self.values).encode()], pa.large_binary()),
        }
        for name, data in self.buffers.items():
            columns[f"buffer.{name}"] = pa.array([data], pa.large_binary())
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Task":
        """The only row of `table`; buffers are views of it."""
        buffers = {
            name[7:]: table.column(name).chunk(0)[0].as_buffer()
            for name in table.column_names
            if name.startswith("buffer.")
        }
        return cls(table.column("key")[0].as_py(), json.loads(table.column("values")[0].as_py()), buffers)


Function = Callable[[Task], Task]


@dataclass(frozen=True)
class Step:
    """`function` runs as tasks. With `actors`, it is called once in each actor and returns the function."""

    function: Callable[..., Any]
    arguments: tuple = ()
    actors: int | None = None
    cpus: float = 1
    gpus: float = 0


def run_stage(
    name: str, tasks: list[Task], steps: list[Step], progress: Progress, workers: RaySettings
) -> Iterator[Task]:
    """Results in the order in which they come. Raises BuildFailed at the end if tasks failed.

    The others are finished before that, unless more than `workers.max_failed_tasks` failed.
    """
    if not tasks:
        return
    dataset = _dataset(tasks, steps, progress.tracker, workers)
    seen = set()
    try:
        for table in dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
            result = Task.from_table(table)
            seen.add(result.key)
            progress.guard()
            progress.finished(result.key, int(result.values.get("rows", 0)), result.values["usage"])
            yield result
    except ray.exceptions.RayError as error:
        raise _failure(name, progress, [task.key for task in tasks if task.key not in seen], error) from error
    missing = [task.key for task in tasks if task.key not in seen]
    if missing:
        raise _failure(name, progress, missing, None)


def _dataset(tasks: list[Task], steps: list[Step], tracker: Any, workers: RaySettings) -> ray.data.Dataset:
    """The steps over the tasks, lazy: a block is one task, whose result is one row."""
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = workers.max_failed_tasks
    context.actor_task_retry_on_errors = False
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.verbose_stats_logs = False
    dataset = ray.data.from_items(
        [{"key": task.key, "values": json.dumps(task.values).encode()} for task in tasks],
        override_num_blocks=len(tasks),
    )
    for place, step in enumerate(steps):
        options: dict[str, Any] = {
            "batch_size": 1, "batch_format": "pyarrow", "num_cpus": step.cpus, "num_gpus": step.gpus or None,
        }  # fmt: skip
        first = place == 0
        if step.actors is None:
            dataset = dataset.map_batches(
                _call,
                fn_args=(step.function, step.arguments, tracker, first),
                max_retries=workers.task_retries,
                **options,
            )
        else:
            dataset = dataset.map_batches(
                _Actor,
                fn_constructor_args=(step.function, step.arguments, tracker, first, workers.task_retries),
                compute=ActorPoolStrategy(size=step.actors, max_tasks_in_flight_per_actor=3),
                # Without end: while a lost node is not yet known to be dead, a call fails many times a
                # minute. A task that ends its actor is stopped by counting how often it was begun.
                max_restarts=-1,
                max_task_retries=-1,
                **options,
            )
    return dataset


def result_of(name: str, reference: Any) -> Any:
    """The result of a single Ray task; raises its own CorpusmillError, or BuildFailed for any other."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, CorpusmillError):
            raise cause from error
        raise BuildFailed(f"{name}: {_first_line(error)}", hint=GO_ON) from error


def _failure(
    name: str, progress: Progress, missing: list[str], error: BaseException | None
) -> CorpusmillError:
    reasons = progress.failures()
    if not reasons and error is not None:
        cause = getattr(error, "cause", None)
        if isinstance(cause, CorpusmillError):
            return cause
        return BuildFailed(f"{name}: {_first_line(error)}", hint=GO_ON)
    if not reasons:
        lost = counted(len(missing), progress.unit)
        return BuildFailed(f"{name}: {lost} lost with their workers or nodes: {_named(missing)}", hint=GO_ON)
    keys: dict[str, list[str]] = {}  # a cause that many tasks share is told once
    for key, reason in reasons.items():
        keys.setdefault(reason, []).append(key)
    named = "\n".join(
        f"  {_named(failed)}: {reason}" for reason, failed in list(keys.items())[:FAILURE_EXAMPLES]
    )
    return BuildFailed(
        f"{name}: {counted(len(reasons), progress.unit)} failed, {len(missing)} not done:\n{named}",
        hint="What is finished is kept. Mend the cause, then run the same command again.",
    )


def _named(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip() if lines else ''}"[:500]


def _call(
    table: pa.Table, function: Callable[..., Task], arguments: tuple, tracker: Any, first: bool
) -> pa.Table:
    return _measured(table, lambda task: function(task, *arguments), tracker, first)


class _Actor:
    def __init__(
        self, function: Callable[..., Function], arguments: tuple, tracker: Any, first: bool, retries: int
    ) -> None:
        self._function = function(*arguments)
        self._tracker = tracker
        self._first = first
        self._retries = retries

    def __call__(self, table: pa.Table) -> pa.Table:
        return _measured(table, self._guarded, self._tracker, self._first)

    def _guarded(self, task: Task) -> Task:
        """The function, unless the task has ended the processes of several actors already."""
        lost = 0
        with contextlib.suppress(ray.exceptions.RayError):  # a build goes on without its tracker
            lost = ray.get(self._tracker.begun.remote(task.key), timeout=10) - 1
        if lost > self._retries:
            raise BuildFailed(
                f"the process that worked on it ended {lost} times without a word",
                hint="If it ran out of memory, set model.batch_tokens or index.part_passages lower.",
            )
        return self._function(task)


def _measured(table: pa.Table, function: Function, tracker: Any, first: bool) -> pa.Table:
    """Run a step on the row, add what it used to the row's `usage`, and report failures by name."""
    task = Task.from_table(table)
    if first:
        tracker.started.remote(task.key)
    usage = Usage(task.values.get("usage"))
    try:
        result = function(task)
    except Exception as error:
        tracker.failed.remote(task.key, _reason(error))
        raise
    result.values["usage"] = usage.values(gpu_seconds=result.values.pop("gpu_seconds", 0.0))
    return result.to_table()


def _reason(error: Exception) -> str:
    if isinstance(error, CorpusmillError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(frame.filename)}:{frame.lineno})"[:500]
