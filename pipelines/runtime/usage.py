"""What a piece of work used: CPU and GPU seconds, wall seconds, peak memory of its process."""

import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import Any

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage:
    """Starts to measure when made; `values` adds what was measured since to what came before."""

    def __init__(self, earlier: dict[str, Any] | None = None) -> None:
        self._earlier = earlier or {}
        self._cpu, self._wall = time.process_time(), time.monotonic()
        with contextlib.suppress(OSError):  # a worker process has peaks of earlier work behind it
            Path("/proc/self/clear_refs").write_text("5")

    def values(self, *, gpu_seconds: float = 0.0) -> dict[str, Any]:
        """Sums of seconds, and the largest peak resident memory in bytes."""
        return {
            "cpu_seconds": self._sum("cpu_seconds", time.process_time() - self._cpu),
            "gpu_seconds": self._sum("gpu_seconds", gpu_seconds),
            "wall_seconds": self._sum("wall_seconds", time.monotonic() - self._wall),
            "peak_memory_bytes": max(self._earlier.get("peak_memory_bytes", 0), _peak_memory()),
        }

    def _sum(self, name: str, seconds: float) -> float:
        return round(self._earlier.get(name, 0.0) + seconds, 4)


def total_usage(usages: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds summed and the largest peak over many pieces of work."""
    return {
        "cpu_seconds": round(sum(usage.get("cpu_seconds", 0.0) for usage in usages), 3),
        "gpu_seconds": round(sum(usage.get("gpu_seconds", 0.0) for usage in usages), 3),
        "peak_memory_bytes": max((usage.get("peak_memory_bytes", 0) for usage in usages), default=0),
    }


def _peak_memory() -> int:
    """Largest resident memory since it was last reset, in bytes; of the whole process where it cannot be."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
