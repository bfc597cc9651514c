"""A build whose workers, actors or helpers are killed finishes by itself; a stopped one says how to go on."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from retrieval.errors import IndexBusy
from retrieval.storage import Store
from tests.faults_tools import (
    Build, assert_sound, contents, make_corpus, make_model, markers, progress, run, settings, wait_until, write_config,
)  # fmt: skip

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


@dataclass
class Place:
    """A corpus, a model, and what an index of them holds that was built without a fault."""

    root: Path
    corpus: Path
    model: Path
    reference: dict[str, Any]

    def config(self, name: str, **sections: dict[str, Any]) -> tuple[Path, Path]:
        """A configuration and its index, by name."""
        index = self.root / name
        return write_config(
            self.root / f"{name}.yaml", settings(self.corpus, index, self.model, **sections)
        ), index


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("workers")
    corpus, model = make_corpus(root / "corpus"), make_model(root / "model")
    place = Place(root, corpus, model, {})
    config, index = place.config("reference")
    run(config)
    place.reference = contents(Store(str(index)))
    return place


def killed_while(build: Build, index: Path, stage: str, title: str) -> int:
    """Kill the processes with this title once two parts of the stage are done; how many there were."""

    def ready() -> list[psutil.Process]:
        assert build.process.poll() is None, build.output()
        return build.processes(title) if len(markers(index, stage)) >= 2 else []

    victims = wait_until(ready, f"{title} in {stage}")
    assert len(markers(index, stage)) < 20, "the stage was over before anything was killed"
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
    return len(victims)


@pytest.mark.parametrize(
    ("stage", "title"),
    [
        ("read", "ray::MapBatches"),
        ("embed", "ray::MapWorker"),
        ("embed", "ray::MapBatches"),
        ("embed", "ray::Tracker"),
    ],
)
def test_a_worker_is_killed(place: Place, stage: str, title: str) -> None:
    config, index = place.config(f"{stage}-{title.partition('::')[2]}")
    with Build(config) as build:
        assert killed_while(build, index, stage, title) >= 1
        build.finish()
        wait_until(lambda: not build.processes(), "the end of all processes", 60)
    assert_sound(Store(str(index)))
    assert contents(Store(str(index))) == place.reference


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_a_stopped_build_says_how_to_go_on(place: Place, number: signal.Signals, code: int) -> None:
    config, index = place.config(f"stopped-{number.name}")
    with Build(config) as build:
        wait_until(lambda: len(markers(index, "embed")) >= 2, "two parts with vectors")
        build.signal(number)
        assert build.wait(120) == code, build.output()
        assert f"To go on: corpusmill build {config}" in build.output()
        assert progress(index)["state"] == "interrupted"
        wait_until(lambda: not build.processes(), "the end of all processes", 60)
    run(config)
    assert contents(Store(str(index))) == place.reference
