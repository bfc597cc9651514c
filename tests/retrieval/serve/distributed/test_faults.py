"""A service whose processes are killed and whose index changes while clients ask it."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from retrieval.format.manifest import read_manifest
from retrieval.storage.store import Store
from tests.conftest import write_jsonl
from tests.tools.serving.faults_serve_tools import (
    APART,
    ASKED,
    FIRST,
    RECOVERY_S,
    STRICT,
    WORDS,
    answers,
    assert_full_or_flagged,
    assert_of_one_version,
    documents_of,
    kill,
    known_answers,
    manifest_of,
    only_in,
    size_of,
    state,
)
from tests.tools.serving.serve_load import Load, percentile, statuses, until
from tests.tools.serving.serve_tools import commit, flip, serving

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SWAPS = 20


@pytest.fixture(scope="module")
def editions(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with four versions that share no document and differ in size and number of shards."""
    root = tmp_path_factory.mktemp("editions")
    for number, word in enumerate(WORDS):
        corpus = write_jsonl(root / "corpus.jsonl", documents_of(word, size_of(number + 1)))
        index = {"part_passages": 20, "shard_passages": (60, 20, 100, 40)[number]}
        dense = {"type": "ivf_pq", "nlist": 4, "tune_queries": 20}
        manifest = build(corpus, root / "index", dense=dense, index=index).manifest
        assert manifest.version == number + 1
    shards = [len(read_manifest(Store(str(root / "index")), version).shards) for version in (1, 2, 3, 4)]
    assert len(set(shards)) > 2, shards
    return root / "index"


@pytest.fixture
def index(editions: Path, tmp_path: Path) -> Path:
    """A copy, at a version with shards in both groups."""
    shutil.copytree(editions, tmp_path / "index")
    commit(tmp_path / "index", FIRST)
    return tmp_path / "index"


def test_one_of_two_replicas_is_killed(index: Path, tmp_path: Path) -> None:
    with serving(index, tmp_path, f"{{{APART}, shards: {{replicas: 2}}}}") as service:
        known = known_answers(service)
        before = {process.pid for process in service.replicas("shards-0")}
        assert len(before) == 2
        with Load(service.url, [*ASKED, *STRICT], 4, retries=2) as load:
            time.sleep(3)
            kill(service.replicas("shards-0")[:1])

            def replaced() -> bool:
                now = {process.pid for process in service.replicas("shards-0")}
                return len(now) == 2 and now != before

            took = until(replaced, "the replica", RECOVERY_S)
            time.sleep(5)
    good = [outcome for outcome in load.outcomes if outcome.status == 200]
    retried = sum(outcome.retries > 0 for outcome in load.outcomes)
    partial = sum(not outcome.value["coverage"]["full"] for outcome in good)
    print(
        f"\nreplica killed: {statuses(load.outcomes)} of {len(load.outcomes)}, {retried} retried, {partial} "
        f"partial, back after {took:.1f} s, p99 {percentile(load.outcomes, 99):.0f} ms"
    )
    assert len(good) >= 0.999 * len(load.outcomes)
    for outcome in good:
        assert_full_or_flagged(outcome, known)


def test_all_replicas_of_a_group_are_killed_again_and_again(index: Path, tmp_path: Path) -> None:
    """Long enough for requests to give the group up."""
    with serving(index, tmp_path, f"{{{APART}, limits: {{group_s: 1.5}}}}") as service:
        known = known_answers(service)
        with Load(service.url, [*ASKED, *STRICT], 4) as load:
            time.sleep(1)
            end = time.monotonic() + 20
            while time.monotonic() < end:
                kill(service.replicas("shards-1"))
                time.sleep(0.02)
            took = until(
                lambda: service.post("/v1/search", STRICT[0]).status_code == 200, "a full answer", RECOVERY_S
            )
            back = time.monotonic()
            time.sleep(3)
        good = [outcome for outcome in load.outcomes if outcome.status == 200]
        partial = [outcome for outcome in good if not outcome.value["coverage"]["full"]]
        print(
            f"\ngroup killed: {statuses(load.outcomes)} of {len(load.outcomes)}, {len(partial)} partial, "
            f"full again after {took:.1f} s, slowest {percentile(load.outcomes, 100):.0f} ms"
        )
        assert set(statuses(load.outcomes)) <= {200, 503}
        assert partial and any(outcome.status == 503 for outcome in load.outcomes)
        for outcome in good:
            assert_full_or_flagged(outcome, known)
        for outcome in load.outcomes:
            if outcome.status == 503:
                assert outcome.asked.get("require_full") and outcome.retry_after == "1", outcome
        assert statuses(load.since(back + 2)) == {200: len(load.since(back + 2))}


def test_it_is_not_ready_while_all_groups_are_dead(index: Path, tmp_path: Path) -> None:
    with serving(index, tmp_path, f"{{{APART}, limits: {{group_s: 1.5}}}}") as service:
        known_answers(service)

        def unready() -> bool:
            kill([*service.replicas("shards-0"), *service.replicas("shards-1")])
            service.post("/v1/search", ASKED[0])
            return service.get("/readyz").status_code == 503

        took = until(unready, "503", RECOVERY_S)
        assert service.get("/readyz").json()["problems"], "it says why"
        back = until(lambda: service.get("/readyz").status_code == 200, "ready", RECOVERY_S)
        print(f"\nnot ready {took:.1f} s after all groups died, ready {back:.1f} s after the last kill")
        assert service.post("/v1/search", ASKED[0]).status_code == 200, "of one group, perhaps"
        until(lambda: service.post("/v1/search", STRICT[0]).status_code == 200, "a full answer", RECOVERY_S)


def test_a_version_that_comes_while_a_group_is_dead_is_taken_later(index: Path, tmp_path: Path) -> None:
    with serving(index, tmp_path, f"{{{APART}, limits: {{group_s: 1.5}}}}") as service:
        commit(index, 4)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            kill(service.replicas("shards-1"))
            time.sleep(0.02)
        assert service.get("/readyz").json()["version"] == FIRST
        took = until(lambda: service.get("/readyz").json()["version"] == 4, "version 4", RECOVERY_S)
        print(f"\nversion taken {took:.1f} s after its group could start")
        assert service.get("/readyz").json()["refused"] is None
        assert service.post("/v1/search", STRICT[0]).status_code == 200


def test_a_dead_generator_holds_no_request_for_long(index: Path, tmp_path: Path) -> None:
    """An answer waits `timeout_s` for a generator, not for ever; searches go on meanwhile."""
    with serving(index, tmp_path, f"{{{APART}, limits: {{timeout_s: 4}}}}") as service:
        asked, found, slowest = {"question": "which note is about bees"}, [], 0.0
        assert service.post("/v1/answer", asked).status_code == 200
        end = time.monotonic() + 15
        while time.monotonic() < end:
            kill(service.replicas("generator"))
            start = time.monotonic()
            found.append(service.post("/v1/answer", asked).status_code)
            slowest = max(slowest, time.monotonic() - start)
            assert service.post("/v1/search", STRICT[0]).status_code == 200
        print(f"\ngenerator killed: {found}, slowest {slowest:.1f} s")
        assert set(found) <= {200, 503, 504} and set(found) != {200}
        assert slowest < 10
        until(lambda: service.post("/v1/answer", asked).status_code == 200, "an answer", RECOVERY_S)


def test_the_only_ingress_replica_is_killed(index: Path, tmp_path: Path) -> None:
    """While connections are open, which then keep the port in TIME_WAIT."""
    with serving(index, tmp_path) as service, ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(httpx.Client())
            assert client.post(f"{service.url}/v1/search", json=STRICT[0], timeout=60).status_code == 200
        kill(service.replicas("ingress"))
        took = until(lambda: answers(service), "an answer", RECOVERY_S)
        print(f"\ningress killed: answers again after {took:.1f} s")


@pytest.mark.parametrize("config", ["watch_s: 0.3", APART])
def test_versions_change_under_load(index: Path, tmp_path: Path, config: str) -> None:
    with serving(index, tmp_path, f"{{{config}}}") as service:
        with Load(service.url, STRICT, 4):  # models are loaded, connections made
            time.sleep(4)
        with Load(service.url, STRICT, 4) as calm:
            time.sleep(10)
        took = []
        with Load(service.url, STRICT, 4) as load:
            for number in range(1, SWAPS + 1):
                version = 1 + (FIRST + number) % len(WORDS)
                commit(index, version)
                took.append(until(lambda v=version: v == state(service)["version"], f"version {version}"))
        print(
            f"\n{SWAPS} swaps, {config}: {statuses(load.outcomes)}, each {max(took):.1f} s at most; p99 "
            f"{percentile(load.outcomes, 99):.0f} ms, without swaps {percentile(calm.outcomes, 99):.0f} ms "
            f"(p50 {percentile(load.outcomes, 50):.0f} and {percentile(calm.outcomes, 50):.0f} ms)"
        )
    assert statuses(load.outcomes) == {200: len(load.outcomes)}
    assert {outcome.value["version"] for outcome in load.outcomes} == {1, 2, 3, 4}
    for outcome in load.outcomes:
        assert_of_one_version(outcome)


@pytest.mark.parametrize("config", ["watch_s: 0.3", APART])
def test_damaged_versions_are_refused_under_load(index: Path, tmp_path: Path, config: str) -> None:
    """A changed bit, a file that is gone, a manifest that is cut: one in each of three versions."""
    victims = {1: only_in(index, 1, "dense"), 3: only_in(index, 3, "passages"), 4: manifest_of(index, 4)}
    whole = {version: path.read_bytes() for version, path in victims.items()}
    flip(victims[1])
    victims[3].unlink()
    victims[4].write_bytes(whole[4][: len(whole[4]) // 2])
    with serving(index, tmp_path, f"{{{config}}}") as service, Load(service.url, STRICT, 4) as load:
        time.sleep(1)
        for version in victims:
            commit(index, version)
            until(lambda v=version: (state(service)["refused"] or {}).get("version") == v, f"no to {version}")
            assert state(service)["version"] == FIRST and state(service)["ready"]
        refusing = time.monotonic()
        time.sleep(1)
        victims[4].write_bytes(whole[4])
        sound = {"ready": True, "version": 4, "problems": [], "refused": None}
        assert service.post("/v1/index/reload", {}).json() == sound
        time.sleep(1)
    print(f"\ndamaged versions, {config}: {statuses(load.outcomes)}")
    assert statuses(load.outcomes) == {200: len(load.outcomes)}
    for outcome in load.outcomes:
        assert_of_one_version(outcome)
        assert outcome.began >= refusing or outcome.value["version"] == FIRST, outcome
