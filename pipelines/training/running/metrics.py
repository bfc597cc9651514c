"""What a training tells of itself: a line of JSON for each step that is reported, and where it stands."""

import json
import math
import time
from typing import Any

from retrieval.storage import Store

METRICS, PROGRESS = "metrics.jsonl", "progress.json"
_MOST_LINES = 5_000
_SECONDS = 1.0  # between two writes


class Metrics:
    """Written by the first worker alone. Of long trainings every n-th step has a line."""

    def __init__(self, output: Store, from_step: int) -> None:
        """Lines of steps after `from_step`, of a run that was cut off, go."""
        self._output = output
        known = output.read_or_none(METRICS, 64_000_000) or b""
        lines = [json.loads(line) for line in known.splitlines() if line.strip()]
        self._lines = [line for line in lines if line["step"] <= from_step] if from_step else []
        self._written = 0.0
        self._last: dict[str, Any] = {}

    def __call__(self, values: dict[str, Any]) -> None:
        """Values of a step, or of a measurement under `dev`."""
        every = max(1, math.ceil(values["steps"] / _MOST_LINES))
        if "dev" in values or values["step"] % every == 0:
            self._lines.append(values)
        self._last |= {name: value for name, value in values.items() if name != "dev"}
        if "dev" in values:
            self._last |= {"dev": values["dev"], "best_step": values["best_step"]}
        if "dev" in values or time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Have everything in the output."""
        self._output.put(METRICS, "".join(f"{json.dumps(line)}\n" for line in self._lines).encode())
        self._output.put_json(PROGRESS, self._last)
        self._written = time.monotonic()


def read_metrics(output: Store) -> list[dict[str, Any]]:
    """The lines of a training."""
    data = output.read_or_none(METRICS, 64_000_000) or b""
    return [json.loads(line) for line in data.splitlines() if line.strip()]
