"""Submitting a build as a Ray job: what is refused, what is packaged, and a job on a real Ray head."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jobs.commands.packaging import SubmitError, working_directory
from jobs.commands.submission import (
    ENTRYPOINT,
    cluster_config,
    job_server,
    passed_variables,
    submit_build,
)
from pipelines.config.build_settings import BuildConfig
from retrieval.errors import ConfigError


def config(
    corpus: str = "s3://bucket/corpus/", index: str = "s3://bucket/index", **sections: dict
) -> BuildConfig:
    values = {"corpus": {"paths": [corpus]}, "index": {"path": index}}
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return BuildConfig.model_validate(values)


def test_local_paths_are_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster_config(config(corpus="data/*.jsonl", index=str(tmp_path)), shared_disk=False)
    assert "data/*.jsonl" in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert "--shared-disk" in caught.value.hint


def test_a_local_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.name"):
        cluster_config(config(model={"name": str(tmp_path)}), shared_disk=False)


def test_shared_disk_makes_paths_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = cluster_config(config(corpus="data/*.jsonl", index="index"), shared_disk=True)
    assert found.corpus.paths == [f"{tmp_path}/data/*.jsonl"]
    assert found.index.path == f"{tmp_path}/index"


def test_urls_stay_and_the_address_goes() -> None:
    given = config(ray={"address": "ray://elsewhere:10001", "task_retries": 5})
    found = cluster_config(given, shared_disk=False)
    assert found.corpus.paths == ["s3://bucket/corpus/"]
    assert found.ray.address is None
    assert found.ray.task_retries == 5


@pytest.mark.parametrize(
    "options", [{"secret": "hidden-value"}, {"client_kwargs": {"aws_secret_access_key": "hidden-value"}}]
)
def test_secrets_in_options_are_refused_and_not_repeated(options: dict) -> None:
    given = config()
    values = given.model_dump(mode="json", exclude_unset=True)
    values["corpus"]["storage_options"] = options
    with pytest.raises(ConfigError) as caught:
        cluster_config(BuildConfig.model_validate(values), shared_disk=False)
    assert "secret" in caught.value.message
    assert "hidden-value" not in str(caught.value)


def test_variables_are_passed_by_name_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    assert passed_variables(["AWS_REGION"]) == {"AWS_REGION": "eu-central-1"}
    with pytest.raises(ConfigError) as caught:
        passed_variables(["AWS_SECRET_ACCESS_KEY"])
    assert "hidden" not in str(caught.value)
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE is not set"):
        passed_variables(["NOT_SET_ANYWHERE"])


def test_the_package_holds_code_and_configuration_only() -> None:
    with working_directory(config()) as folder:
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        assert {path.parts[0] for path in files} == {"retrieval", "pipelines", "jobs", "config.yaml"}
        assert Path("retrieval/errors.py") in files
        assert {path.suffix for path in files} == {".py", ".pyi", ".yaml"}
        stored = yaml.safe_load((folder / "config.yaml").read_text())
    assert BuildConfig.model_validate(stored) == config()
    assert not folder.exists()


def test_an_address_that_is_no_job_server_is_refused() -> None:
    with pytest.raises(ConfigError, match="job server"):
        job_server("10.0.0.1:6379")


def test_nobody_answers(tmp_path: Path) -> None:
    path = tmp_path / "build.yaml"
    path.write_text("corpus: {paths: s3://b/c}\nindex: {path: s3://b/i}\n")
    with pytest.raises(SubmitError, match="no Ray job server answers"):
        submit_build(path, f"http://127.0.0.1:{free_port()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray head with token authentication and a job server, in the foreground of a process of ours."""
    port, token = free_port(), tmp_path_factory.mktemp("token") / "auth_token"
    token.write_text("0123456789abcdef" * 4)
    token.chmod(0o600)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2",
               f"--port={free_port()}", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}",
               f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}",
               "--object-store-memory=200000000", "--disable-usage-stats"]  # fmt: skip
    # A short path: Ray's sockets lie below it and their names are limited to 107 bytes.
    temporary = Path(tempfile.mkdtemp(prefix="cm-"))
    environment = {**os.environ, **auth, "RAY_TMPDIR": str(temporary)}
    environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"  # else SIGTERM waits half a minute
    # A job's `python` is the one on the head's PATH.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment.pop("RAY_ADDRESS", None)
    head = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield f"http://127.0.0.1:{port}", auth
    finally:
        head.terminate()
        head.communicate(timeout=30)
        shutil.rmtree(temporary, ignore_errors=True)


# Ray reads its authentication once a process, so the client is a process of its own, as for a user.
CLIENT = """
import asyncio, sys
from pathlib import Path
from jobs.commands.submission import follow, submit_build
run = sys.argv[3]
job = submit_build(Path(sys.argv[1]), sys.argv[2], shared_disk=True, env=["AWS_REGION"], entrypoint=run)
print(job.submission_id)
print(asyncio.run(follow(job, print)))
"""


@pytest.mark.slow
def test_a_build_runs_as_a_job_on_a_cluster_with_token_authentication(
    ray_head: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, auth = ray_head
    corpus, index, path = tmp_path / "corpus.jsonl", tmp_path / "my_index", tmp_path / "build.yaml"
    corpus.write_text('{"id": "a", "text": "A corpus of one document."}\n')
    path.write_text(f"corpus: {{paths: {corpus}}}\nindex: {{path: {index}}}\n")
    wait_for(address)

    def client(entrypoint: str, **variables: str) -> subprocess.CompletedProcess:
        # RAY_ADDRESS names another cluster: it must not win over the address that is given.
        environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1", "AWS_REGION": "eu-central-1", **variables}
        command = [sys.executable, "-c", CLIENT, str(path), address, entrypoint]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    built = client(ENTRYPOINT, **auth)
    assert built.returncode == 0, built.stdout + built.stderr
    assert built.stdout.startswith("corpusmill-my-index-")
    assert built.stdout.strip().endswith("SUCCEEDED")
    assert (index / "LATEST").is_file()

    failed = client("echo region $AWS_REGION; exit 3", **auth)
    assert "region eu-central-1" in failed.stdout
    assert "failed: Job entrypoint command failed with exit code 3\n" in failed.stderr
    assert (
        f"Go on with: corpusmill submit {path} --shared-disk --env=AWS_REGION --address {address}"
        in failed.stderr
    )

    denied = client("true", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64)
    assert "RAY_AUTH_TOKEN_PATH" in denied.stderr.strip().splitlines()[-1]


def wait_for(address: str) -> None:
    """Until the job server accepts connections; pytest's own timeout bounds it."""
    host, port = address.removeprefix("http://").split(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
