"""How the process that parses is started: a clean interpreter, not a fork of a reader with its threads."""

import os
import socket
import subprocess
import sys
from pathlib import Path

_MAIN = """
import sys
parent, memory, shared, *sys.path = sys.argv[1:]  # it imports what its parent does
from pipelines.extraction.worker import main
main(int(parent), int(memory), int(shared))
"""
_ROOT = str(Path(__file__).parents[2])
_KEPT = ("LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")  # variables; no secrets of the build
_SET = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve more than the limit at once
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Kept between documents, instead of being fetched from the kernel for each.
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
}


def start(memory: int, shared: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, limited to `memory` bytes, and the socket to it. It ends with this thread.

    shared: descriptor of the SharedMemory that it writes long answers to.
    """
    ours, theirs = socket.socketpair()
    path = [os.path.abspath(entry) for entry in sys.path if entry] + [_ROOT]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN, str(os.getpid()), str(memory), str(shared), *path],
            pass_fds=(shared,),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**{name: os.environ[name] for name in _KEPT if name in os.environ}, **_SET},
            start_new_session=True,
        )
    return process, ours
