"""A build on a Ray cluster whose only shared place is an S3 server, with a node lost on the way."""

import json
import logging
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from moto.server import ThreadedMotoServer

from pipelines.config.resolved import worker_cache
from retrieval.format.manifest import read_manifest
from retrieval.storage.store import Store
from tests.tools.faults.faults_checks import assert_sound, contents
from tests.tools.faults.faults_tools import (
    MARK,
    ROOT,
    Build,
    settings,
    shared_place,
    wait_until,
    write_config,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """Options of a store on a real S3 server; the keys are in the environment, as they should be."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request would bury what fails
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as env:
        env.setenv("AWS_ACCESS_KEY_ID", "test")
        env.setenv("AWS_SECRET_ACCESS_KEY", "test")
        env.setenv("AWS_DEFAULT_REGION", "us-east-1")
        options = {"endpoint_url": f"http://{host}:{port}"}
        Store("s3://cluster", options).fs.mkdir("cluster")
        yield options
    server.stop()


@pytest.fixture
def cluster(s3: dict[str, Any], tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """A head that runs no work and three nodes of two CPUs, each with its own folder for temporary files.

    The cluster and the node that is to be lost.
    """
    from ray.cluster_utils import Cluster

    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as env:
        env.setenv(MARK, mark)
        env.setenv("HF_HUB_OFFLINE", "1")
        env.setenv("PYTHONPATH", str(ROOT))
        cluster = Cluster()
        nodes = []
        for name, cpus in [("head", 0), ("one", 2), ("two", 2), ("lost", 2)]:
            (tmp_path / name).mkdir()
            nodes.append(
                cluster.add_node(
                    num_cpus=cpus, env_vars={"TMPDIR": str(tmp_path / name)}, object_store_memory=200_000_000
                )
            )
        cluster.wait_for_nodes()
    try:
        yield cluster, nodes[-1]
    finally:
        cluster.shutdown()

        def marked() -> list[psutil.Process]:
            return [process for process in psutil.process_iter() if _mark(process) == mark]

        wait_until(lambda: not marked(), "the end of the cluster's processes", 60)


def _mark(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(MARK)
    except psutil.Error:
        return None


def hidden(folder: Path, root: Path) -> tuple[Path, list[str]]:
    """A path at which only the driver finds `folder`, and what its command has to begin with.

    The driver runs in a mount namespace of its own, where this is permitted; elsewhere all see it.
    """
    place = root / "seen-by-the-driver"
    place.mkdir()
    prefix = ["unshare", "--mount", "sh", "-c", f'mount --bind "{folder}" "{place}" && exec "$@"', "sh"]
    if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
        return place, prefix
    return folder, []


def command(where: Path, cache: Path, *words: str) -> dict[str, Any]:
    """Run a command with a cache of its own; the JSON that it prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CORPUSMILL_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "jobs", words[0], str(where), *words[1:], "--json"],
        capture_output=True, text=True, env=env, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_build_on_a_cluster_survives_a_node(
    cluster: tuple[Any, Any], s3: dict[str, Any], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (nodes, lost), local = cluster, shared_place(tmp_path_factory)
    Store("s3://cluster", s3).fs.put(f"{local.corpus}/", "cluster/corpus/", recursive=True)
    model, prefix = hidden(local.model, tmp_path)
    values = settings("s3://cluster/corpus", "s3://cluster/index", model)
    for section in ("corpus", "index"):
        values[section]["storage_options"] = s3
    values["ray"] = {"address": nodes.address}
    config = write_config(tmp_path / "cluster.yaml", values)
    store = Store("s3://cluster/index", s3)

    def embedded() -> int:
        return sum(key.endswith(".json") for key in store.find("vectors"))

    (tmp_path / "driver").mkdir()
    with Build(config, env={"TMPDIR": str(tmp_path / "driver")}, prefix=tuple(prefix)) as build:

        def ready() -> bool:
            assert build.process.poll() is None, build.output()
            return embedded() >= 2

        wait_until(ready, "two parts with vectors", step=0.3)
        nodes.remove_node(lost, allow_graceful=False)
        assert embedded() < 15, "the stage was over before the node was lost"
        build.finish()
        results = build.results.read_text().splitlines()
        told = ("Version 1 of s3://cluster/index", "rejected: ", "Search it: ")
        assert [line.startswith(begin) for line, begin in zip(results, told, strict=True)] == 3 * [True]

    manifest = assert_sound(store, tmp_path / "cache")
    assert {**contents(store), "vectors": None} == {**local.contents, "vectors": None}
    here = read_manifest(Store(str(local.index)))
    for ours, theirs in zip(manifest.parts, here.parts, strict=True):
        built = np.load(store.local(ours.vectors, tmp_path / "cache"), allow_pickle=False).astype(np.float32)
        np.testing.assert_allclose(built, np.load(local.index / theirs.vectors.key), atol=2e-3)

    assert command(config, tmp_path / "other", "verify")["intact"] is True
    found, expected = (
        command(where, tmp_path / "other", "search", "Note 17.1 is about glaciers", "-k", "5")["hits"]
        for where in (config, local.index)
    )
    assert [hit["passage_id"] for hit in found] == [hit["passage_id"] for hit in expected]
    assert len(found) == 5
    # Nothing of the build stays on the nodes but what they cache on purpose.
    left = [path for name in ("one", "two", "driver") for path in (tmp_path / name).glob("corpusmill-*")]
    assert {path.name for path in left} <= {worker_cache().name}
