"""Files of deploy/: Ray, KubeRay and Grafana take them, and they fit our own settings and metrics."""

import ipaddress
import os
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray import serve
from ray._common.utils import import_attr
from ray.serve.schema import HTTPOptionsSchema, ServeApplicationSchema, ServeDeploySchema

from jobs.cli import app as command_line
from jobs.commands.serve import check_gpus, reserved
from jobs.commands.submission import cluster_config
from pipelines.config.build_settings import load_config
from retrieval.errors import ConfigError
from retrieval.serve.configuration import read_settings
from retrieval.serve.http.access import is_loopback
from retrieval.serve.settings import Placement, ServeSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVE, KUBERAY = DEPLOY / "serve.yaml", DEPLOY / "kuberay"
CRDS = os.environ.get("CORPUSMILL_KUBERAY_CRDS")  # helm-chart/kuberay-operator/crds of ray-project/kuberay
Tree = dict[str, Any]


@cache
def documents(name: str) -> dict[str, Tree]:
    """Documents of a file for Kubernetes, by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all((KUBERAY / name).read_text())}


def service() -> Tree:
    return documents("rayservice.yaml")["RayService"]["spec"]


def job() -> Tree:
    return documents("rayjob.yaml")["RayJob"]["spec"]


def serve_config(where: str) -> Tree:
    return yaml.safe_load(SERVE.read_text() if where == "serve.yaml" else service()["serveConfigV2"])


def settings_of(where: str) -> ServeSettings:
    return ServeSettings.model_validate(serve_config(where)["applications"][0]["args"])


def clusters() -> dict[str, Tree]:
    return {"RayService": service()["rayClusterConfig"], "RayJob": job()["rayClusterSpec"]}


def pods(cluster: Tree) -> list[tuple[Tree, Tree, Tree]]:
    """Group, pod and container of the head and of every worker group."""
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    found = [(group, group["template"]["spec"]) for group in groups]
    return [(group, pod, container) for group, pod in found for container in pod["containers"]]


@pytest.mark.parametrize("where", ["serve.yaml", "rayservice.yaml"])
def test_ray_serve_takes_the_configuration(where: str) -> None:
    values = serve_config(where)
    ServeDeploySchema.model_validate(values)
    [application] = values["applications"]
    # Ray ignores keys that it does not know: a misspelt one would not be told.
    for part, schema in [
        (values, ServeDeploySchema),
        (application, ServeApplicationSchema),
        (values["http_options"], HTTPOptionsSchema),
    ]:
        assert set(part) <= set(schema.model_fields)
    builder = import_attr(application["import_path"])
    assert isinstance(builder(application["args"]), serve.Application)
    assert settings_of(where).placement == "apart"


def test_it_opens_to_others_only_with_keys_and_holds_none() -> None:
    assert is_loopback(serve_config("serve.yaml")["http_options"]["host"])
    assert ipaddress.ip_address(serve_config("rayservice.yaml")["http_options"]["host"]).is_unspecified
    assert settings_of("rayservice.yaml").access.keys_file is not None
    for path in (SERVE, *KUBERAY.glob("*.yaml")):
        assert not re.search(r"\bcm-[\w-]{16}|sha256:|\bAKIA\w|env_vars", path.read_text())


def test_one_machine_takes_the_same_file() -> None:
    assert read_settings(None, SERVE) == settings_of("serve.yaml")
    assert read_settings("my-index", SERVE) == settings_of("serve.yaml").model_copy(
        update={"index": "my-index"}
    )


def test_one_machine_has_room_for_what_the_file_reserves() -> None:
    settings = read_settings("my-index", SERVE)
    cpus, gpus, resources = reserved(settings)
    parts = [settings.ingress, settings.encoder, settings.reranker, settings.generator]
    assert cpus == sum(one.cpus * least(one) for one in [*parts, *[settings.shards] * settings.groups])
    assert (gpus, resources) == (0, {})
    values = {"index": "i", "placement": "apart", "groups": 3, "shards": {"resources": {"disk": 0.5}}}
    assert reserved(ServeSettings.model_validate(values)) == (7, 0, {"disk": 1.5})
    greedy = ServeSettings.model_validate({"index": "i", "ingress": {"gpus": 64}})
    with pytest.raises(ConfigError, match="64 GPUs"):
        check_gpus(reserved(greedy)[1])


def test_a_part_keeps_its_defaults_where_one_of_them_is_set() -> None:
    values = {"index": "i", "ingress": {"cpus": 2}, "encoder": {"gpus": 1}, "generator": {"cpus": 4}}
    settings = ServeSettings.model_validate(values)
    kept = ServeSettings(index="i")
    for name in ("ingress", "encoder", "generator"):
        assert getattr(settings, name).max_ongoing == getattr(kept, name).max_ongoing
        assert getattr(settings, name).max_queued == getattr(kept, name).max_queued
    assert settings.ingress.max_ongoing > settings.encoder.max_ongoing > settings.generator.max_ongoing


@pytest.mark.parametrize("kind", ["RayService", "RayJob"])
def test_a_cluster_is_complete(kind: str) -> None:
    cluster = clusters()[kind]
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group, pod, container in pods(cluster):
        assert isinstance(group["rayStartParams"], dict)
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert group.get("minReplicas", 0) <= group.get("replicas", group.get("minReplicas", 0))
        assert group.get("replicas", 0) <= group.get("maxReplicas", 1)
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod.get("volumes", [])}
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]  # Ray counts by limits, Kubernetes by requests
        gpu = "nvidia.com/gpu" in resources["limits"]
        assert container["image"] == f"corpusmill:{'gpu' if gpu else 'cpu'}"
        for variable in container.get("env", []):
            assert not re.search("SECRET|KEY|TOKEN|PASSWORD", variable["name"]) or "valueFrom" in variable


def test_every_pod_that_reads_the_storage_may() -> None:
    for kind, cluster in clusters().items():
        for group, _, container in pods(cluster):
            if kind == "RayService" and group is cluster["headGroupSpec"]:
                continue  # no replica runs there
            assert container["envFrom"] == [{"secretRef": {"name": "corpusmill-storage"}}]


def test_the_pods_of_the_service_have_its_keys_cache_and_port() -> None:
    keys = settings_of("rayservice.yaml").access.keys_file
    assert keys is not None
    port = serve_config("rayservice.yaml")["http_options"]["port"]
    for group, pod, container in pods(service()["rayClusterConfig"]):
        assert {"name": "serve", "containerPort": port} in container["ports"]
        assert (
            "readinessProbe" not in container
        )  # KubeRay's own asks Serve's proxy, but only if there is none
        if group is service()["rayClusterConfig"]["headGroupSpec"]:
            continue
        places = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes[places[str(keys.parent)]]["secret"]["secretName"] == "corpusmill-keys"
        [cache_place] = [entry["value"] for entry in container["env"] if entry["name"] == "CORPUSMILL_CACHE"]
        assert "emptyDir" in volumes[places[cache_place]]


def test_the_replicas_fit_into_the_pods() -> None:
    settings = settings_of("rayservice.yaml")
    shapes = []
    for group, _, container in pods(service()["rayClusterConfig"])[1:]:
        limits = container["resources"]["limits"]
        cpus, gpus = float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0))
        shapes.append((cpus, gpus, group["minReplicas"], group["maxReplicas"]))
    placements: list[tuple[Placement, int]] = [
        (settings.ingress, 1), (settings.encoder, 1), (settings.reranker, 1), (settings.generator, 1),
        (settings.shards, settings.groups),
    ]  # fmt: skip
    for placement, _ in placements:
        assert any(placement.cpus <= cpus and placement.gpus <= gpus for cpus, gpus, *_ in shapes)
    for resource, column in [("cpus", 0), ("gpus", 1)]:
        always = sum(getattr(place, resource) * least(place) * times for place, times in placements)
        most = sum(getattr(place, resource) * greatest(place) * times for place, times in placements)
        assert always <= sum(shape[column] * shape[2] for shape in shapes)
        # An update starts a new replica before it stops the old one.
        assert max(most, 2 * always) <= sum(shape[column] * shape[3] for shape in shapes)


def least(placement: Placement) -> int:
    return placement.autoscaling.min_replicas if placement.autoscaling else placement.replicas


def greatest(placement: Placement) -> int:
    return placement.autoscaling.max_replicas if placement.autoscaling else placement.replicas


def test_the_job_is_a_build_that_resumes(tmp_path: Path) -> None:
    command, name, path = shlex.split(job()["entrypoint"])
    known = [one.name or one.callback.__name__ for one in command_line.registered_commands if one.callback]
    assert (command, name) == ("corpusmill", "build") and name in known
    head = job()["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    [mount] = [m for m in head["containers"][0]["volumeMounts"] if m["mountPath"] == str(Path(path).parent)]
    [volume] = [volume for volume in head["volumes"] if volume["name"] == mount["name"]]
    given = documents("rayjob.yaml")["ConfigMap"]
    assert volume["configMap"]["name"] == given["metadata"]["name"]
    (tmp_path / "build.yaml").write_text(given["data"][Path(path).name])
    config = load_config(tmp_path / "build.yaml")
    cluster_config(config, shared_disk=False)  # refuses what other nodes cannot reach, and secrets
    assert config.index.path == settings_of("rayservice.yaml").index == settings_of("serve.yaml").index
    assert job()["submissionMode"] == "K8sJobMode"
    assert job()["backoffLimit"] > 0
    assert job()["shutdownAfterJobFinishes"] is True


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema in which what Kubernetes would prune is an error."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if not str(key).startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        found |= {"type": ["integer", "string"]}
    open_ = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if schema.get("type") == "object" and "properties" in schema and not open_:
        found["additionalProperties"] = False
    return found


@pytest.mark.skipif(not CRDS, reason="CORPUSMILL_KUBERAY_CRDS names no folder with KubeRay's CRDs")
@pytest.mark.parametrize("kind", ["RayService", "RayJob"])
def test_it_validates_against_the_crd(kind: str) -> None:
    document = documents(f"{kind.lower()}.yaml")[kind]
    crd = yaml.safe_load((Path(str(CRDS)) / f"ray.io_{kind.lower()}s.yaml").read_text())
    group, version = document["apiVersion"].split("/")
    assert crd["spec"]["group"] == group
    [served] = [one for one in crd["spec"]["versions"] if one["name"] == version and one["served"]]
    schema = strict(served["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    cluster = "rayClusterConfig" if kind == "RayService" else "rayClusterSpec"
    wrong = {**document["spec"], cluster: {**document["spec"][cluster], "headGroup": {}}}
    assert not validator.is_valid({**document, "spec": wrong})
