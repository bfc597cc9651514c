"""What a service on this machine listens on, and what other users of the machine get of it."""

import http.client
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from retrieval.serve.http.access import hashed_key, new_key
from tests.tools.hostile.planted import imported, plant
from tests.tools.serving.listening_tools import listening, outside, private_folder, reachable, tree
from tests.tools.serving.serve_tools import Service, serving

PATHS = ("/", "/metrics", "/api/job_agent/jobs/", "/api/local_raylet_healthz", "/api/v0/logs")


def test_a_service_listens_on_loopback_only(service: Service) -> None:
    found = listening(service.process.pid)
    assert len(found) > 8, found  # Ray's own are among them
    assert int(service.url.rpartition(":")[2]) in {port for _, _, port in found}
    assert outside(found) == []


def test_what_a_service_leaves_is_its_users_alone(service: Service) -> None:
    folder = private_folder(service.process.pid)
    assert (folder / "auth_token").stat().st_mode & 0o777 == 0o600
    assert list(folder.glob("ray/session_2*/logs/*")), "Ray's files are elsewhere"
    assert reachable(folder) == []
    opened = {file.path for one in tree(service.process.pid) for file in one.open_files()}
    assert [path for path in opened if path.startswith("/tmp/ray/")] == []


def test_who_has_no_token_has_nothing_of_rays_ports(service: Service) -> None:
    folder = private_folder(service.process.pid)
    (port,) = [path.read_text() for path in folder.glob("ray/session_2*/gcs_server_port_*")]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        ask = gcs_service_pb2.GetAllNodeInfoRequest()
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetAllNodeInfo(ask, timeout=20)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        token = (folder / "auth_token").read_text()
        known = stub.GetAllNodeInfo(ask, timeout=20, metadata=[("authorization", f"Bearer {token}")])
        assert [node.node_manager_address for node in known.node_info_list] == ["127.0.0.1"]


def test_without_a_token_http_gives_metrics_and_the_service_alone(service: Service) -> None:
    found = listening(service.process.pid)
    opened = {name.split()[0] for name, _, port in found for path in PATHS if _status(port, path) == 200}
    # The agent's port for metrics gives them at any path; that for jobs and logs asks for the token.
    assert opened <= {"ray::DashboardAgent", "ray::ProxyActor", "ray::ServeReplica:corpusmill:ingress"}
    for name, _, port in found:
        if name.startswith("ray::DashboardAgent"):
            assert _status(port, "/api/job_agent/jobs/", "POST") in (None, 401, 405)


def _status(port: int, path: str, method: str = "GET") -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None  # it speaks gRPC
    finally:
        connection.close()


def test_rays_own_tools_find_it(service: Service) -> None:
    folder = private_folder(service.process.pid)
    (port,) = [path.read_text() for path in folder.glob("ray/session_latest/gcs_server_port_*")]
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "ray.scripts.scripts", "status", "--address", f"127.0.0.1:{port}"],
        env={
            **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "auth_token"),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        },
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "Active:" in asked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["together", "apart"])
def test_other_machines_reach_the_port_that_was_asked_for(
    placement: str, served_index: Path, tmp_path: Path
) -> None:
    key = new_key()
    (tmp_path / "keys").write_text(f"search {hashed_key(key)}\n")
    config = f"placement: {placement}\naccess: {{keys_file: {tmp_path / 'keys'}}}\n"
    trapped = plant(tmp_path / "trapped", "jobs", "contextlib", "functools")
    with serving(
        served_index, tmp_path, config, cwd=trapped, host="0.0.0.0", PYTHONSAFEPATH="1", HOME=str(tmp_path)
    ) as found:
        port = int(found.url.rpartition(":")[2])
        assert {port for _, _, port in outside(listening(found.process.pid))} == {port}
        folder = private_folder(found.process.pid)
        answer = found.post(
            "/v1/search",
            {"query": "Who built the lighthouse of Brell?"},
            headers={"authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 200
        assert answer.json()["hits"][0]["doc_id"] == "f1"
    assert imported(trapped) == ""
    assert not folder.exists()
    assert not (tmp_path / ".ray").exists()
