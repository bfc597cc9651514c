"""Run a measured step in a process of its own and sample its anonymous memory from outside.

The child prints JSON lines. `{"event": "ready"}` ends its set-up: memory at that moment is the
baseline, and the child waits for a line on its standard input before it goes on. The peak is taken
until `{"event": "built", ...}`; every other line adds to the result.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

EVERY = 0.002  # seconds between two samples


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process: what it holds itself, without mapped files. 0 once it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0


def run_watched(command: list[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run the command; its results, with `baseline_bytes` and `peak_bytes` of anonymous memory."""
    result: dict[str, Any] = {}
    peak, stop = [0], threading.Event()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child has no pipes")

        def sample() -> None:
            while not stop.wait(EVERY):
                peak[0] = max(peak[0], anonymous_bytes(process.pid))

        watcher = threading.Thread(target=sample, daemon=True)
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            values = json.loads(line)
            event = values.pop("event", "")
            if event == "ready":
                result["baseline_bytes"] = anonymous_bytes(process.pid)
                watcher.start()
                process.stdin.write("go\n")
                process.stdin.flush()
            elif event == "built":
                stop.set()
                result["peak_bytes"] = peak[0]
            result |= values
    stop.set()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ... ended with status {process.returncode}")
    return result


def ready() -> None:
    """Called in the child: set-up is over, measuring begins when the parent says so."""
    say("ready")
    sys.stdin.readline()


def say(event: str, **values: Any) -> None:
    """Called in the child: a line for the parent."""
    print(json.dumps({"event": event, **values}), flush=True)
