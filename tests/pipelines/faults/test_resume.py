"""A build that is killed in any stage goes on with the same command, to the same index."""

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.commands.index_status import status
from retrieval.storage.store import Store
from tests.tools.faults.faults_checks import assert_sound, assert_untouched, contents, finished, pieces
from tests.tools.faults.faults_tools import Build, Place, run, shared_place, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

# Stage, which entry of it in a run (`read` is entered again to drop duplicates), results before the end.
KILLS = [
    ("read", 1, 4), ("duplicates", 1, 1), ("read", 2, 1), ("embed", 1, 4), ("passages", 1, 2),
    ("train", 1, 1), ("pieces", 1, 2), ("merge", 1, 1), ("tune", 1, 1), ("weigh", 1, 1), ("verify", 1, 1),
    ("commit", 1, 1),
]  # fmt: skip
GONE_SECONDS = 60  # after which nothing of a killed build may live


@dataclass
class Killed:
    """The build that the tests kill, one stage after the other, and what its finished pieces had used."""

    config: Path
    index: Path
    pieces: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return shared_place(tmp_path_factory)


@pytest.fixture(scope="module")
def killed(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return Killed(*place.config(tmp_path_factory.mktemp("killed")))


@pytest.mark.parametrize(("stage", "occurrence", "results"), KILLS)
def test_the_driver_is_killed(killed: Killed, stage: str, occurrence: int, results: int) -> None:
    index = killed.index
    before = finished(index)
    seconds = "0.3" if stage == "train" else "600"
    with Build(killed.config, (stage, str(occurrence), str(results), seconds)) as build:
        assert build.wait() == -signal.SIGKILL, build.output()
        at_death = finished(index)
        assert_untouched(before, index)
        if stage in ("read", "embed", "passages", "pieces", "merge"):
            assert len(at_death.keys() - before.keys()) >= results
        assert (index / "versions").exists() == (stage == "commit")
        assert not (index / "LATEST").exists()
        if stage == "pieces":
            killed.pieces += pieces(index)
            assert len(killed.pieces) >= results
        wait_until(lambda: not build.processes(), f"the end of what was killed in {stage}", GONE_SECONDS)


def test_the_same_command_finishes(killed: Killed, place: Place) -> None:
    index, store = killed.index, Store(str(killed.index))
    before = finished(index)
    run(killed.config)
    assert_untouched(before, index)
    manifest = assert_sound(store)
    assert manifest.version == 1
    assert contents(store) == place.contents
    # The shards consist of the pieces that were finished, not of others made again.
    merged = [file.key for shard in manifest.shards for file in shard.dense if file.key.endswith(".json")]
    used = [usage for key in merged for usage in json.loads(store.read(key)).get("pieces_usage", [])]
    assert all(usage in used for usage in killed.pieces)
    assert "nothing was done" in run(killed.config)
    assert status(store)["state"] == "done"
