"""A build that is killed in any stage goes on with the same command, to the same index."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.status import status
from retrieval.storage import Store
from tests.faults_tools import (
    Build, assert_sound, assert_untouched, contents, finished, make_corpus, make_model, markers, run, settings,
    wait_until, write_config,
)  # fmt: skip

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

# Stage, which entry of it in a run (`read` is entered again to drop duplicates), results before the end.
KILLS = [
    ("read", 1, 4), ("duplicates", 1, 1), ("read", 2, 1), ("embed", 1, 4), ("passages", 1, 2), ("train", 1, 1),
    ("pieces", 1, 2), ("merge", 1, 1), ("tune", 1, 1), ("verify", 1, 1), ("commit", 1, 1),
]  # fmt: skip
GONE_SECONDS = 60  # after which nothing of a killed build may live


@dataclass
class Place:
    """A corpus, a model, and an index that was built from them without interruption."""

    root: Path
    corpus: Path
    model: Path
    reference: dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("resume")
    corpus, model = make_corpus(root / "corpus"), make_model(root / "model")
    config = write_config(root / "reference.yaml", settings(corpus, root / "reference", model))
    run(config)
    assert_sound(Store(str(root / "reference")))
    return Place(root, corpus, model, contents(Store(str(root / "reference"))))


@dataclass
class Killed:
    """The build that the tests kill, one stage after the other, and what its finished pieces had used."""

    config: Path
    index: Path
    pieces: list[dict[str, Any]]


@pytest.fixture(scope="module")
def killed(place: Place) -> Killed:
    index = place.root / "killed"
    return Killed(
        write_config(place.root / "killed.yaml", settings(place.corpus, index, place.model)), index, []
    )


@pytest.mark.parametrize(("stage", "occurrence", "results"), KILLS)
def test_the_driver_is_killed(killed: Killed, stage: str, occurrence: int, results: int) -> None:
    index = killed.index
    before = finished(index)
    seconds = "0.3" if stage == "train" else "600"
    with Build(killed.config, (stage, str(occurrence), str(results), seconds)) as build:
        assert build.wait() == -signal.SIGKILL, build.output()
        at_death = finished(index)
        assert_untouched(before, index, except_for=("/pieces/",))
        if stage in ("read", "embed", "passages", "pieces", "merge"):
            assert len(at_death.keys() - before.keys()) >= results
        assert (index / "versions").exists() == (stage == "commit")
        assert not (index / "LATEST").exists()
        wait_until(lambda: not build.processes(), f"the processes of the build killed in {stage}", GONE_SECONDS)
    if stage == "pieces":
        own = [json.loads((index / key).read_bytes()) for key in markers(index, "dense") if "/pieces/" in key]
        killed.pieces += [piece["usage"] for piece in own]
        assert len(own) >= results


def test_the_same_command_finishes(killed: Killed, place: Place) -> None:
    index = killed.index
    before = finished(index)
    run(killed.config)
    assert_untouched(before, index, except_for=("/pieces/",))
    assert assert_sound(Store(str(index))).version == 1
    assert contents(Store(str(index))) == place.reference
    # The shards consist of the pieces that were finished, not of others made again.
    merged = [json.loads((index / key).read_bytes()) for key in markers(index, "dense")]
    used = [usage for marker in merged for usage in marker["pieces_usage"]]
    assert all(usage in used for usage in killed.pieces)
    assert "nothing was done" in run(killed.config)
    assert status(Store(str(index)))["state"] == "done"
