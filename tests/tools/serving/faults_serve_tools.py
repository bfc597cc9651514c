"""What the tests of a service under faults share: versions that say a word of their own, and true answers."""

import signal
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from retrieval.format.manifest import read_manifest
from retrieval.storage.store import Store
from tests.conftest import TOPICS
from tests.tools.serving.serve_load import Outcome
from tests.tools.serving.serve_tools import Service

WORDS = ("amber", "birch", "coral", "delta")  # every passage of version n says WORDS[n - 1]
APART = "placement: apart, groups: 2, watch_s: 0.3"
FIRST = 2
RECOVERY_S = 60
STAGES: tuple[dict[str, Any], ...] = (
    {"mode": "hybrid"},
    {"mode": "lexical", "k": 30},
    {"mode": "dense", "filter": "year >= 1520"},
    {"mode": "hybrid", "rerank": "late-interaction"},
)
ASKED = [{"query": f"a note about {topic}", "k": 5, **STAGES[n % 4]} for n, topic in enumerate(TOPICS)]
STRICT = [{**asked, "require_full": True} for asked in ASKED]


def size_of(version: int) -> int:
    """Passages of a version: one a document."""
    return 40 + 20 * version


def documents_of(word: str, count: int) -> list[dict[str, Any]]:
    """Short notes that all say the word."""
    return [
        {
            "_id": f"{word}-{place}", "title": word, "year": 1500 + place,
            "text": f"Note {place} of edition {word} is about {TOPICS[place % len(TOPICS)]}.",
        }
        for place in range(count)
    ]  # fmt: skip


def assert_of_one_version(outcome: Outcome) -> None:
    """All hits of an answer, and the size of the index, are those of the version that it names."""
    found = outcome.value
    word = WORDS[found["version"] - 1]
    assert found["coverage"]["passages"] == size_of(found["version"]), outcome
    assert found["hits"], outcome
    for hit in found["hits"]:
        assert hit["doc_id"].startswith(word) and word in hit["text"], outcome


def hits_of(value: dict[str, Any]) -> list[Any]:
    """What makes two answers the same."""
    return [(hit["passage_id"], round(hit["score"], 4)) for hit in value["hits"]]


def known_answers(service: Service) -> dict[str, list[Any]]:
    """Hits of the whole index, by query."""
    found = {}
    for asked in STRICT:
        answer = service.post("/v1/search", asked)
        assert answer.status_code == 200 and answer.json()["coverage"]["full"]
        found[asked["query"]] = hits_of(answer.json())
    return found


def assert_full_or_flagged(outcome: Outcome, known: dict[str, list[Any]]) -> None:
    """A full answer is the known one; another says what is missing, and was not asked to be full."""
    coverage = outcome.value["coverage"]
    if coverage["full"]:
        assert coverage["searched"] == coverage["passages"] and not coverage["missing"], outcome
        assert hits_of(outcome.value) == known[outcome.asked["query"]], outcome
    else:
        assert coverage["searched"] < coverage["passages"] and coverage["missing"], outcome
        assert not outcome.asked.get("require_full"), outcome


def kill(processes: list[psutil.Process]) -> None:
    """By SIGKILL; one that is gone already is dead."""
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def answers(service: Service) -> bool:
    """Whether a search is answered; nobody may be listening."""
    try:
        return service.post("/v1/search", STRICT[0]).status_code == 200
    except httpx.HTTPError:
        return False


def state(service: Service) -> dict[str, Any]:
    """What /readyz says."""
    found: dict[str, Any] = service.get("/readyz").json()
    return found


def only_in(index: Path, version: int, kind: str) -> Path:
    """The largest file of a shard's `dense` or `passages` that no other version has."""
    store = Store(str(index))
    files = {
        number: {file for shard in read_manifest(store, number).shards for file in getattr(shard, kind)}
        for number in range(1, len(WORDS) + 1)
    }
    own = files[version] - set().union(*(files[number] for number in files if number != version))
    return index / max(own, key=lambda file: file.bytes).key


def manifest_of(index: Path, version: int) -> Path:
    """The file of a version."""
    return next(path for path in (index / "versions").rglob("*.json") if int(path.stem) == version)
