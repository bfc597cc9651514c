"""`corpusmill build CONFIG` whose driver is lost in a stage: it kills itself with SIGKILL.

    python faults_driver.py STAGE OCCURRENCE RESULTS SECONDS CONFIG

It dies once the stage, entered for the OCCURRENCE-th time, has had RESULTS results in this run, or
SECONDS after it was entered. The stage `commit` is the moment between the manifest and LATEST.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any


def die() -> None:
    """End as a process does whose machine is lost: at once, with nothing tidied."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(stage: str, occurrence: int, results: int, seconds: float) -> None:
    """Make the build die in the stage."""
    import pipelines.stages.committing
    from pipelines.runtime.progress import Progress

    entered, counted = 0, 0
    enter, count = Progress.stage, Progress.finished

    @contextlib.contextmanager
    def entering(self: Progress, name: str, *arguments: Any, **named: Any) -> Iterator[None]:
        nonlocal entered
        with enter(self, name, *arguments, **named):
            if name == stage:
                entered += 1
                if entered == occurrence:
                    timer = threading.Timer(seconds, die)
                    timer.daemon = True
                    timer.start()
            yield

    def counting(self: Progress, *arguments: Any) -> None:
        nonlocal counted
        count(self, *arguments)
        if self._stage.stage == stage and entered == occurrence:
            counted += 1
            if counted >= results:
                die()

    Progress.stage, Progress.finished = entering, counting  # type: ignore[method-assign, assignment]
    if stage == "commit":
        pipelines.stages.committing.announce = lambda *_: die()  # type: ignore[assignment]


if __name__ == "__main__":
    name, which, many, after, config = sys.argv[1:]
    arm(name, int(which), int(many), float(after))
    sys.argv = ["corpusmill", "build", config]
    from jobs.cli import main

    main()
