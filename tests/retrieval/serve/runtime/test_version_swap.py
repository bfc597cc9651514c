"""New versions while the service answers: taken when they are whole, refused when they are not."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import validated
from pipelines.training import TrainConfig, train
from tests.conftest import write_jsonl
from tests.tools.samples.encoder_models import model_folder
from tests.tools.serving.serve_load import Load, statuses
from tests.tools.serving.serve_tools import Service, commit, flip, served_documents, serving

pytestmark = pytest.mark.slow

SETTINGS = {
    "dense": {"type": "ivf_pq", "nlist": 4, "tune_queries": 20},
    "chunk": {"size": 96},
    "index": {"part_passages": 50, "shard_passages": 100},
}
CONFIGS = {
    "together": "{watch_s: 0.3}",
    "apart": "{watch_s: 0.3, placement: apart, groups: 2}",
}


SOUND = {"ready": True, "problems": [], "refused": None}


class Growing:
    """An index that is built beside the one that is served, and published to it version by version."""

    def __init__(self, build: Callable[..., Any], first: Path, folder: Path) -> None:
        self._build = build
        self._documents = served_documents()
        self.beside, self.served = folder / "beside", folder / "index"
        shutil.copytree(first, self.beside)
        shutil.copytree(first, self.served)

    def add(self, key: str, text: str, model: str = "all-MiniLM-L6-v2", **index: Any) -> int:
        """Build with one more document; the new version."""
        self._documents.append({"_id": key, "title": key, "text": text, "year": 2000})
        return self.build({"name": model}, **index)

    def build(self, model: dict[str, str], **index: Any) -> int:
        """Build with the documents of now; the new version."""
        corpus = write_jsonl(self.beside.parent / "corpus.jsonl", self._documents)
        settings = {**SETTINGS, "index": {**SETTINGS["index"], **index}, "model": model}
        return int(self._build(corpus, self.beside, **settings).manifest.version)

    def publish(self) -> list[Path]:
        """Copy what is new, without LATEST; the files."""
        copied = []
        for path in sorted(self.beside.rglob("*")):
            target = self.served / path.relative_to(self.beside)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
                copied.append(target)
        return copied

    def commit(self, version: int) -> None:
        """Name the version to serve."""
        commit(self.served, version)


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def changing(
    request: pytest.FixtureRequest, build: Callable[..., Any], served_index: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:  # fmt: skip
    """A service, and the index that it serves."""
    folder = tmp_path_factory.mktemp(request.param)
    growing = Growing(build, served_index, folder)
    with serving(growing.served, folder, CONFIGS[request.param]) as service:
        yield service, growing


def until(service: Service, **expected: Any) -> dict[str, Any]:
    """The state of the service, once it has these values."""
    deadline = time.monotonic() + 60
    while True:
        state = service.get("/readyz").json()
        if all(state[name] == value for name, value in expected.items()):
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.2)


def test_a_new_version_is_taken_and_a_broken_one_refused(changing: tuple[Service, Growing]) -> None:
    service, growing = changing
    asked = {"query": "which zebra paints fences", "k": 3, "require_full": True, "explain": True}
    found = service.post("/v1/search", asked).json()
    assert found["version"] == 1 and found["coverage"]["full"]

    second = growing.add("z1", "The zebra Quill paints fences green.", shard_passages=60)
    growing.publish()
    growing.commit(second)
    until(service, version=second, refused=None)
    found = service.post("/v1/search", asked).json()
    assert found["version"] == second and found["hits"][0]["doc_id"] == "z1"
    assert found["coverage"]["full"]

    third = growing.add("z2", "The zebra Quill sold its brushes.", shard_passages=60)
    victim = max(
        (path for path in growing.publish() if "dense" in path.parts), key=lambda path: path.stat().st_size
    )
    whole = flip(victim)
    growing.commit(third)
    deadline = time.monotonic() + 60
    while service.get("/readyz").json()["refused"] is None and time.monotonic() < deadline:
        time.sleep(0.2)
    state = service.get("/readyz").json()
    assert state["version"] == second and state["ready"]
    assert state["refused"]["version"] == third and victim.name in state["refused"]["why"]
    assert service.post("/v1/search", asked).json()["version"] == second

    answer = service.post("/v1/index/reload", {})
    assert answer.status_code == 409 and "checksum" in answer.json()["error"]["message"]
    victim.write_bytes(whole)
    assert service.post("/v1/index/reload", {}).json() == {**SOUND, "version": third}
    found = service.post("/v1/search", {**asked, "query": "who sold brushes"}).json()
    assert found["version"] == third and found["hits"][0]["doc_id"] == "z2"


def test_another_embedding_model_is_taken(changing: tuple[Service, Growing], tmp_path: Path) -> None:
    """Of another dimension: a query must be embedded by the model of the version that it searches."""
    service, growing = changing
    positions = {"max_position_embeddings": 140}
    model = model_folder(tmp_path / "small", max_seq_length=128, config=positions)
    before = service.get("/v1/index").json()
    version = growing.add("z3", "The zebra Quill rents a workshop.", model=str(model))
    growing.publish()
    growing.commit(version)
    until(service, version=version, refused=None)
    after = service.get("/v1/index").json()
    assert (before["dimension"], after["dimension"]) == (384, 32)
    for mode in ("hybrid", "dense", "lexical"):
        asked = {"query": "which zebra rents a workshop", "mode": mode, "require_full": True}
        found = service.post("/v1/search", asked).json()
        assert found["version"] == version and found["coverage"]["full"] and len(found["hits"]) >= 3
    assert found["hits"][0]["doc_id"] == "z3"
    vectors = service.post("/v1/embeddings", {"input": ["a zebra"]}).json()["data"]
    assert len(vectors[0]["embedding"]) == 32


def test_a_trained_query_tower_is_taken_and_no_query_fails(
    changing: tuple[Service, Growing], tmp_path: Path
) -> None:
    """The new version differs in its query encoder alone; requests go on while it is taken."""
    service, growing = changing
    small = str(model_folder(tmp_path / "small", max_seq_length=128, config={"max_position_embeddings": 140}))
    before = growing.add("z4", "The zebra Quill keeps a diary.", model=small)
    growing.publish()
    growing.commit(before)
    until(service, version=before, refused=None)
    values = {
        "index": {"path": str(growing.beside)}, "output": str(tmp_path / "out"), "towers": "query",
        "teacher": True, "model": {"name": str(model_folder(tmp_path / "student", seed=7))},
        "examples": {"titles": 40}, "negatives": {"source": "none"},
        "training": {"steps": 60, "batch": 8, "learning_rate": 1e-3, "frozen_layers": 0, "evaluations": 2},
    }  # fmt: skip
    made = train("dpr", validated(TrainConfig, values, "test"), lambda _event: None).outcome
    assert made["best_step"] > 0
    asked = {"query": "which zebra keeps a diary", "mode": "dense", "k": 3, "require_full": True}
    known = service.post("/v1/embeddings", {"input": [asked["query"]]}).json()["data"][0]["embedding"]
    with Load(service.url, [asked, {**asked, "mode": "hybrid", "query": "a lighthouse"}], 2) as load:
        version = growing.build({"name": small, **made["models"]})
        copied = growing.publish()
        growing.commit(version)
        until(service, version=version, refused=None)
        time.sleep(1)  # answers of the new version
    assert set(statuses(load.outcomes)) == {200}
    assert version == before + 1 and not any("vectors" in path.parts for path in copied)
    found = service.post("/v1/search", asked).json()
    assert found["version"] == version and found["coverage"]["full"]
    now = service.post("/v1/embeddings", {"input": [asked["query"]]}).json()["data"][0]["embedding"]
    assert now != known


def test_request_ids_reach_every_deployment(changing: tuple[Service, Growing]) -> None:
    service, _ = changing
    asked = {"query": "a lighthouse of stone", "rerank": "cross-encoder"}
    assert service.post("/v1/search", asked, headers={"x-request-id": "seek-me-42"}).status_code == 200
    question = {"question": "How high is the lighthouse of Brell?"}
    assert service.post("/v1/answer", question, headers={"x-request-id": "seek-me-42"}).status_code == 200
    names = ("shards-0", "shards-1", "encoder", "reranker", "generator")
    apart = [name for name in names if service.replicas(name)]
    for deployment in ("ingress", *apart):
        assert "seek-me-42" in service.logs(deployment), deployment


@pytest.mark.faults
def test_a_start_with_a_damaged_version_takes_the_one_before(
    build: Callable[..., Any], served_index: Path, tmp_path: Path
) -> None:
    growing = Growing(build, served_index, tmp_path)
    second = growing.add("z1", "The zebra Quill paints fences green.")
    victim = max(growing.publish(), key=lambda path: path.stat().st_size * ("dense" in path.parts))
    flip(victim)
    growing.commit(second)
    with serving(growing.served, tmp_path, CONFIGS["together"]) as service:
        state = service.get("/readyz").json()
        assert state["version"] == 1 and state["refused"]["version"] == second
        assert service.post("/v1/search", {"query": "bees"}).json()["version"] == 1
        told = f"Version {second} is refused, version 1 answers"
        deadline = time.monotonic() + 60
        while told not in service.log.read_text():
            assert time.monotonic() < deadline, service.log.read_text()
            time.sleep(0.2)
        growing.commit(1)
        until(service, version=1, refused=None)


def test_apart_is_as_together(changing: tuple[Service, Growing], service: Service) -> None:
    """The same answers wherever the parts are, for every stage and explanation."""
    other, growing = changing
    growing.commit(1)
    until(other, version=1)
    for more in ({}, {"rerank": "late-interaction"}, {"rerank": "cross-encoder", "mode": "lexical"},
                 {"filter": "year < 1520"}, {"per_document": 1}):  # fmt: skip
        asked = {"query": "how high is the lighthouse", "k": 7, "explain": True, **more}
        here, there = (one.post("/v1/search", asked).json() for one in (service, other))
        assert here.pop("timings_ms") and there.pop("timings_ms")
        assert here == there, more
    assert other.get("/v1/passages/f1%230").json() == service.get("/v1/passages/f1%230").json()
