"""Sends a build to a Ray cluster as a job: our three packages, the configuration, and one entry point."""

import os
import re
import shlex
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jobs.commands.packaging import CONFIG_NAME, SubmitError, working_directory
from pipelines.config import BuildConfig, load_config
from retrieval.errors import BuildFailed, ConfigError
from retrieval.models import is_local_folder

ENTRYPOINT = f"python -m jobs build {CONFIG_NAME}"
DEFAULT_ADDRESS = "http://127.0.0.1:8265"  # where `ray dashboard cluster.yaml` forwards to
SERVER_VARIABLE = "RAY_API_SERVER_ADDRESS"
READY_SECONDS = 60.0
NO_AGENT = "No available agent"
_SECRET = re.compile(r"secret|password|passwd|token|credential|(^|_)key(_|$|id)", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*(://|::)", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """A submitted job and the commands that go with it, ready to be copied into a shell."""

    submission_id: str
    address: str
    entrypoint: str
    arguments: tuple[str, ...]  # of `corpusmill submit`, to submit the same again

    @property
    def follow(self) -> str:
        return self._job("logs --follow")

    @property
    def status(self) -> str:
        return self._job("status")

    @property
    def stop(self) -> str:
        return self._job("stop")

    @property
    def resume(self) -> str:
        """The same submission: a build goes on where the last one stopped."""
        return shlex.join(["corpusmill", "submit", *self.arguments, "--address", self.address])

    def _job(self, action: str) -> str:
        # Not --address: Ray lets RAY_ADDRESS win over it, and only this variable over both.
        return f"{SERVER_VARIABLE}={shlex.quote(self.address)} ray job {action} {self.submission_id}"


def submit_build(
    config_path: Path,
    address: str | None = None,
    *,
    shared_disk: bool = False,
    env: Iterable[str] = (),
    entrypoint: str = ENTRYPOINT,
) -> Submission:
    """Check the configuration for use on a cluster, package it with the code, and submit the job.

    `address` is that of Ray's job server (http://HOST:8265); default: RAY_API_SERVER_ADDRESS, else
    127.0.0.1:8265. `shared_disk` allows local paths, for a cluster whose nodes see this machine's disk.
    `env` names variables of this process to pass on; secrets are refused, since Ray shows what it is
    passed to everybody who can see the job. Returns at once; a second submission resumes the build.

    Raises ConfigError for a configuration that a cluster cannot run, SubmitError if the cluster cannot
    be reached or refuses the job.
    """
    config = cluster_config(load_config(config_path), shared_disk=shared_disk)
    options = (str(config_path), *(["--shared-disk"] if shared_disk else []))
    return send_job(config, config.index.path, options, address, env, entrypoint)


def send_job(
    config: BaseModel, place: str, options: tuple[str, ...], address: str | None, env: Iterable[str],
    entrypoint: str,
) -> Submission:  # fmt: skip
    """Submit a configuration that a cluster can run. place: what the job is about, for its name.

    options: of `corpusmill submit`, but for the variables `env`, to submit the same again.
    """
    names = tuple(env)
    variables = passed_variables(names)
    address = job_server(address)
    name = re.sub(r"[^a-z0-9]+", "-", place.rstrip("/").rsplit("/", 1)[-1].lower()).strip("-")
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    submission_id = f"corpusmill-{name or 'index'}-{started}-{uuid.uuid4().hex[:4]}"
    with working_directory(config) as folder, ray_errors(address):
        client = _client(address)
        send = partial(
            client.submit_job,
            entrypoint=entrypoint,
            submission_id=submission_id,
            runtime_env={"working_dir": str(folder), "env_vars": variables},
            metadata={"corpusmill_index": place},
        )
        _when_ready(send)
    arguments = (*options, *(f"--env={name}" for name in names))
    return Submission(submission_id, address, entrypoint, arguments)


async def follow(submission: Submission, write: Callable[[str], Any]) -> str:
    """Pass the job's log to `write` until the job ends; returns its last state.

    Raises BuildFailed unless it succeeded. Cancelling this leaves the job running.
    """
    with ray_errors(submission.address):
        client = _client(submission.address)
        async for lines in client.tail_job_logs(submission.submission_id):
            write(lines)
        details = client.get_job_info(submission.submission_id)
    state = str(details.status.value)
    if state in {"FAILED", "STOPPED"}:
        reason = str(details.message or "no reason given").partition(", last available logs")[0]
        raise BuildFailed(
            f"job {submission.submission_id} {state.lower()}: {reason}",
            hint=f"Go on with: {submission.resume}",
        )
    return state


def cluster_config(config: BuildConfig, *, shared_disk: bool) -> BuildConfig:
    """The configuration as the cluster runs it: paths that every node reaches, no secrets, no address.

    Raises ConfigError naming every setting in the way.
    """
    values: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    for section in ("corpus", "index"):
        options = values[section].get("storage_options", {})
        if secrets := sorted(_secret_keys(options)):
            raise ConfigError(
                f"{section}.storage_options holds {', '.join(secrets)}, which would be stored with the job",
                hint="Leave it out and give the nodes their access: an instance profile or service account, "
                "or environment variables set where `ray start` runs.",
            )
    local: dict[str, list[str]] = {
        "corpus.paths": [path for path in config.corpus.paths if not is_url(path)],
        "index.path": [] if is_url(config.index.path) else [config.index.path],
        "dense.query_file": [path for path in [config.dense.query_file] if path and not is_url(path)],
        "model.name": [config.model.name] if is_local_folder(config.model.name) else [],
    }
    found = {setting: paths for setting, paths in local.items() if paths}
    if found and not shared_disk:
        lines = "; ".join(f"{setting}: {', '.join(paths[:3])}" for setting, paths in found.items())
        raise ConfigError(
            f"the cluster's nodes cannot reach paths of this machine ({lines})",
            hint="Use s3://, gs:// or another URL that every node reaches. If all nodes see this disk "
            "under the same paths (a local cluster, NFS), add --shared-disk.",
        )
    # The job starts in a folder of its own on the head node: relative paths mean another place there.
    values["corpus"]["paths"] = [path if is_url(path) else absolute(path) for path in config.corpus.paths]
    if not is_url(config.index.path):
        values["index"]["path"] = absolute(config.index.path)
    if config.dense.query_file and not is_url(config.dense.query_file):
        values["dense"]["query_file"] = absolute(config.dense.query_file)
    if is_local_folder(config.model.name):
        values["model"]["name"] = absolute(config.model.name)
    values.get("ray", {}).pop("address", None)  # the job server tells its driver which cluster it is in
    return BuildConfig.model_validate(values)


def is_url(path: str) -> bool:
    """Whether a path names a file system that is not this machine's disk."""
    return bool(_URL.match(path)) and not path.lower().startswith(("file://", "local://"))


def absolute(path: str) -> str:
    """A local path, glob or file:// URL, independent of the current folder."""
    return os.path.abspath(os.path.expanduser(re.sub(r"^(file|local)://", "", path)))


def passed_variables(names: Iterable[str]) -> dict[str, str]:
    """Values of the named environment variables; raises ConfigError for a secret or a missing one."""
    values = {}
    for name in names:
        if _SECRET.search(name):
            raise ConfigError(
                f"{name} looks like a secret: Ray shows a job's variables to whoever sees the job",
                hint="Set it on the nodes, where `ray start` runs, or use an instance profile.",
            )
        if name not in os.environ:
            raise ConfigError(f"{name} is not set here", hint=f"Set it first: export {name}=...")
        values[name] = os.environ[name]
    return values


def job_server(address: str | None) -> str:
    """URL of Ray's job server."""
    address = address or os.environ.get(SERVER_VARIABLE) or DEFAULT_ADDRESS
    if not address.startswith(("http://", "https://")):
        raise ConfigError(
            f"{address} is not the address of Ray's job server",
            hint=f"Give http://HOST:8265 (the dashboard's port), for example {DEFAULT_ADDRESS} after "
            "`ray dashboard cluster.yaml`.",
        )
    return address.rstrip("/")


@contextmanager
def ray_errors(address: str) -> Iterator[None]:
    """Turn what Ray's job client raises into errors that say what to do."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except OSError as error:
        raise SubmitError(
            f"no Ray job server answers at {address}",
            hint="Start the cluster (`ray up cluster.yaml`) and keep `ray dashboard cluster.yaml` running in "
            "another terminal, or give --address.",
        ) from error
    except AuthenticationError as error:
        raise SubmitError(
            f"Ray at {address} refused: {error.message}",
            hint="Set RAY_AUTH_MODE=token, and put the cluster's token into ~/.ray/auth_token or into a file "
            "that RAY_AUTH_TOKEN_PATH names.",
        ) from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        hint = "See the cluster's dashboard."
        if NO_AGENT in reason:
            hint = "Ray's log dashboard_agent.log on the head says why; another Ray there may hold its port."
        raise SubmitError(f"Ray at {address} refused: {reason}", hint=hint) from error


def _when_ready(send: Callable[[], Any]) -> None:
    """Call `send` again while a cluster that has just started has no agent that takes jobs."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            send()
            return
        except RuntimeError as error:
            if NO_AGENT not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(1.0)


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient  # takes a second: only who submits pays for it

    before = os.environ.get(SERVER_VARIABLE)
    os.environ[SERVER_VARIABLE] = address  # else RAY_ADDRESS would win over the address given here
    try:
        return JobSubmissionClient(address)
    finally:
        if before is None:
            del os.environ[SERVER_VARIABLE]
        else:
            os.environ[SERVER_VARIABLE] = before


def _secret_keys(options: dict[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if _SECRET.search(key) and value:
            yield key
        elif isinstance(value, dict):
            yield from _secret_keys(value)
