"""A build whose workers are killed finishes by itself; a stopped one says how to go on; one CPU is enough."""

import signal
from pathlib import Path

import psutil
import pytest

from retrieval.storage.store import Store
from tests.tools.faults.faults_checks import assert_sound, contents, markers
from tests.tools.faults.faults_tools import Build, Place, progress, run, shared_place, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return shared_place(tmp_path_factory)


def assert_same(place: Place, index: Path) -> None:
    """The index is sound, and holds what a build without a fault holds."""
    assert_sound(Store(str(index)))
    assert contents(Store(str(index))) == place.contents


@pytest.mark.parametrize(
    ("stage", "titles"),
    [
        ("read", ["ray::MapBatches"]),  # tasks
        ("embed", ["ray::MapWorker"]),  # the actor with the encoder
        ("embed", ["ray::MapBatches", "ray::Tracker"]),  # tasks, and what counts them
    ],
)
def test_a_worker_is_killed(place: Place, tmp_path: Path, stage: str, titles: list[str]) -> None:
    config, index = place.config(tmp_path)
    with Build(config) as build:

        def victims() -> list[psutil.Process]:
            assert build.process.poll() is None, build.output()
            if len(markers(index, stage)) < 2:
                return []
            found = [build.processes(title) for title in titles]
            return [process for group in found for process in group] if all(found) else []

        killed = wait_until(victims, f"{titles} in {stage}")
        assert len(markers(index, stage)) < 20, "the stage was over before anything was killed"
        for victim in killed:
            victim.send_signal(signal.SIGKILL)
        build.finish()
        wait_until(lambda: not build.processes(), "the end of all processes", 60)
    assert_same(place, index)


def test_a_stopped_build_says_how_to_go_on(place: Place, tmp_path: Path) -> None:
    config, index = place.config(tmp_path)
    for number, stage, more in [(signal.SIGTERM, "read", 2), (signal.SIGINT, "embed", 2)]:
        # A shell may have this test, and so the build, ignore Ctrl+C.
        with Build(config, prefix=("env", "--default-signal=INT")) as build:
            wait_until(lambda stage=stage, more=more: len(markers(index, stage)) >= more, f"parts in {stage}")
            build.signal(number)
            assert build.wait(120) == 130, build.output()
            assert f"To go on: corpusmill build {config}" in build.output()
            assert progress(index)["state"] == "interrupted"
            wait_until(lambda build=build: not build.processes(), "the end of all processes", 60)
        assert not (index / "LATEST").exists()
    run(config)
    assert_same(place, index)


@pytest.mark.parametrize("ray", [{"cpus": 1}, {"cpus": 2, "embed_workers": 2}])
def test_actors_leave_a_cpu_to_the_tasks_around_them(
    place: Place, tmp_path: Path, ray: dict[str, int]
) -> None:
    # Actors that took every CPU would wait for tokens, and the tokens for a CPU, without end.
    config, index = place.config(tmp_path, ray=ray)
    run(config)
    assert contents(Store(str(index)))["keys"] == place.contents["keys"]
