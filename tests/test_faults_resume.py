"""A build that is killed in any stage goes on with the same command, to the same index."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from retrieval.storage import Store
from tests.faults_tools import (
    Build, assert_sound, assert_untouched, contents, files_of, finished, make_corpus, make_model, markers, progress,
    run, settings, wait_until, write_config,
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


@pytest.fixture(scope="module")
def killed(place: Place) -> Iterator[tuple[Path, Path]]:
    """The configuration and the index that the tests kill and resume, one stage after the other."""
    index = place.root / "killed"
    yield write_config(place.root / "killed.yaml", settings(place.corpus, index, place.model)), index


@pytest.mark.parametrize(("stage", "occurrence", "results"), KILLS)
def test_the_driver_is_killed(
    killed: tuple[Path, Path], place: Place, stage: str, occurrence: int, results: int
) -> None:
    config, index = killed
    before = finished(index)
    seconds = "0.3" if stage == "train" else "600"
    with Build(config, (stage, str(occurrence), str(results), seconds)) as build:
        assert build.wait() == -signal.SIGKILL, build.output()
        at_death = finished(index)
        assert_untouched(before, index, except_for=("/pieces/",))
        done = len(at_death.keys() - before.keys())
        assert done >= results if stage in ("read", "embed", "passages", "pieces", "merge") else True
        assert (index / "versions").exists() == (stage == "commit")
        assert not (index / "LATEST").exists()
        wait_until(lambda: not build.processes(), f"the processes of the build killed in {stage}", GONE_SECONDS)


def test_the_same_command_finishes(killed: tuple[Path, Path], place: Place) -> None:
    config, index = killed
    before = finished(index)
    run(config)
    assert_untouched(before, index, except_for=("/pieces/",))
    manifest = assert_sound(Store(str(index)))
    assert manifest.version == 1
    found = contents(Store(str(index)))
    assert found == place.reference
