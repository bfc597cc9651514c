"""A stage on Ray Data: every part comes back once, failures are named, the others are finished."""

import os
from pathlib import Path

import pytest

from pipelines.config import RaySettings
from pipelines.runtime.progress import Progress, start_tracker
from pipelines.runtime.stage_runner import Step, Task, run_stage
from retrieval.errors import BuildFailed
from retrieval.storage.store import Store


def enlarge(task: Task, bad: list[str]) -> Task:
    if task.key in bad:
        raise ValueError(f"cannot use {task.key}")
    task.buffers["data"] = task.key.encode() * 3
    return task


def counting(start: int):
    """Called once in each actor; what it returns is called for each part."""
    state = {"calls": start}

    def count(task: Task) -> Task:
        state["calls"] += 1
        data = bytes(task.buffers["data"])
        return Task(task.key, {"data": data.decode(), "rows": len(data), "calls": state["calls"]})

    return count


@pytest.fixture
def progress(ray_session: None, tmp_path: Path) -> Progress:
    progress = Progress(Store(str(tmp_path)), "resume me", lambda event: None)
    progress.begin("test", start_tracker())
    return progress


def test_parts_keep_together_through_tasks_and_an_actor(progress: Progress) -> None:
    tasks = [Task(f"part-{number}", {"number": number}) for number in range(12)]
    with progress.stage("work", "part", len(tasks)):
        results = list(
            run_stage(
                "work",
                tasks,
                [Step(enlarge, ([],)), Step(counting, (100,), actors=1)],
                progress,
                RaySettings(),
            )
        )
    assert {task.key: task.values["data"] for task in results} == {task.key: task.key * 3 for task in tasks}
    assert sorted(task.values["calls"] for task in results) == list(range(101, 113))
    assert all(task.values["usage"]["peak_memory_bytes"] > 0 for task in results)
    snapshot = progress.snapshot("running")
    assert snapshot["tasks"]["done"] == 12
    assert snapshot["rows"] == sum(3 * len(task.key) for task in tasks)
    progress.end("done")
    assert progress.store.read_json("progress.json")["state"] == "done"


def test_a_failed_part_is_named_after_the_others_are_done(progress: Progress) -> None:
    tasks = [Task(f"part-{number}", {}) for number in range(6)]
    done = []
    stage = run_stage(
        "work", tasks, [Step(enlarge, (["part-2"],)), Step(counting, (0,), actors=1)], progress, RaySettings()
    )

    def work() -> None:
        with progress.stage("work", "part", len(tasks)):
            done.extend(stage)

    with pytest.raises(BuildFailed, match="cannot use part-2"):
        work()
    assert {task.key for task in done} == {"part-0", "part-1", "part-3", "part-4", "part-5"}
    progress.end("failed")


def ending(bad: str):
    """A part that ends the process of its actor, as one that takes too much memory does."""

    def work(task: Task) -> Task:
        if task.key == bad:
            os._exit(1)
        return Task(task.key, {})

    return work


def test_a_part_that_ends_its_actor_is_named(progress: Progress) -> None:
    tasks = [Task(f"part-{number}", {}) for number in range(4)]
    done = []
    stage = run_stage(
        "work", tasks, [Step(ending, ("part-2",), actors=1)], progress, RaySettings(task_retries=2)
    )

    def work() -> None:
        with progress.stage("work", "part", len(tasks)):
            done.extend(stage)

    with pytest.raises(BuildFailed, match="part-2: the process that worked on it ended 3 times"):
        work()
    assert {task.key for task in done} == {"part-0", "part-1", "part-3"}
    progress.end("failed")


def test_nothing_to_do_starts_nothing(progress: Progress) -> None:
    assert list(run_stage("work", [], [Step(enlarge, ([],))], progress, RaySettings())) == []
    progress.end("done")
