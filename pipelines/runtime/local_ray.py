"""A Ray of this machine alone: on the loopback address, behind a token, in a folder of this user alone."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config
from ray.job_config import JobConfig

from retrieval.errors import ConfigError

_ROOT = Path(__file__).resolve().parents[1]  # the folder that our packages are imported from
_SOCKET_BYTES = 107  # of a path, on Linux
_LONGEST_SOCKET = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


class LocalJobConfig(JobConfig):
    """What Ray is told of this process. Its workers import what their interpreter finds, nothing else.

    Ray would put the folders of this process and of its script first on their path, where a `numpy.py`
    takes the place of the package.
    """

    def _serialize(self) -> Any:
        self._py_driver_sys_path = _path_of_workers()
        return super()._serialize()


def _path_of_workers() -> list[str]:
    """Nothing where a fresh interpreter finds these very packages, else their folder: a bare checkout."""
    asked = subprocess.run(
        [sys.executable, "-P", "-c", "import pipelines; print(pipelines.__file__)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = asked.stdout.strip()
    return [] if found and Path(found).resolve().parents[1] == _ROOT else [str(_ROOT)]


@contextlib.contextmanager
def own_ray(**options: Any) -> Iterator[Path]:
    """Within the block Ray runs here for this process; gives the folder of its files.

    `options` are those of `ray.init`. The folder goes when the block ends; where it fails, its logs stay.
    Raises ConfigError where the folder cannot be, and what `ray.init` raises.
    """
    folder = _private_folder()
    failed = False
    with _variables(folder):
        read_authentication()
        try:
            with _on_loopback():
                ray.init(
                    address="local", _temp_dir=str(folder / "ray"), job_config=LocalJobConfig(), **options
                )
            yield folder
        except Exception:
            failed = True
            raise
        finally:
            ray.shutdown()
            if failed:
                _keep_logs(folder)
            else:
                _remove(folder)


def read_authentication() -> None:
    """Have Ray read its mode and token again, of which it keeps the first. For a time when none is joined."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def temporary_folder() -> Path:
    """Where the folders of a Ray that is started here are: what is spilled needs the space there."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def _private_folder() -> Path:
    """A new folder of mode 0700. Ray gives all folders of its own the mode 0777."""
    parent = temporary_folder().absolute()
    try:
        folder = Path(tempfile.mkdtemp(prefix="ray-", dir=parent))
    except OSError as error:
        raise ConfigError(
            f"no folder for Ray's files can be made in {parent}: {error.strerror}",
            hint="Name a folder that can be written: RAY_TMPDIR=/path",
        ) from error
    if len(os.fsencode(folder / _LONGEST_SOCKET)) > _SOCKET_BYTES:
        folder.rmdir()
        raise ConfigError(
            f"{parent} is too long a path for Ray's sockets, which may have {_SOCKET_BYTES} bytes",
            hint="Name a shorter one: RAY_TMPDIR=/path",
        )
    return folder


@contextlib.contextmanager
def _variables(folder: Path) -> Iterator[None]:
    """Variables of this process and of those that Ray starts, while it runs."""
    changed: dict[str, str | None] = {
        "PYTHONSAFEPATH": "1",  # `python -c` and `-m` leave their folder out
        "AUTOSCALER_METRIC_PORT": "-1",  # the autoscaler, which has nothing to do, would listen on 44217
    }
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token":
        token = folder / "auth_token"
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        # One of its own, not that of a cluster: Ray's default is a file that everybody can read.
        changed |= {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_TOKEN": None,
        }  # fmt: skip
    before = {name: os.environ.get(name) for name in changed}
    _set(changed)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Within the block a new Ray takes the loopback address, as it does on other systems than Linux.

    Ray 2.60 has no setting for it on Linux: it replaces 127.0.0.1 by the address that others reach.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _remove(folder: Path) -> None:
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)  # a process that is ending has written another file


def _keep_logs(folder: Path) -> None:
    """Remove all but the logs, which tell of a failure; what was spilled may be large."""
    (folder / "auth_token").unlink(missing_ok=True)
    for path in folder.glob("ray/session_2*/*"):
        if path.name != "logs":
            shutil.rmtree(path, ignore_errors=True)
