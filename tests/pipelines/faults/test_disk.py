"""A disk that is full: a clear error, beforehand where it can be foreseen; no version; then it goes on."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.storage.store import Store
from tests.tools.faults.faults_checks import (
    assert_sound,
    assert_untouched,
    contents,
    files_of,
    finished,
    markers,
)
from tests.tools.faults.faults_tools import Build, Place, run, shared_place, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


def mount(folder: Path, size: int) -> None:
    """Mount a file system in memory of `size` bytes, or change the size of the one that is mounted."""
    options = f"size={size}" if not os.path.ismount(folder) else f"remount,size={size}"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return shared_place(tmp_path_factory)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a disk of its own, which is small. The tests go on with one index on it."""
    folder = tmp_path_factory.mktemp("disk") / "disk"
    folder.mkdir()
    try:
        mount(folder, 1_000_000)
    except (subprocess.CalledProcessError, FileNotFoundError, PermissionError) as error:
        pytest.skip(f"this user may not mount a tmpfs, so no small disk can be made: {error}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte."""
    with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65_536)):
            pass


def assert_stops(config: Path, index: Path, build: Build, *told: str) -> None:
    """The build ends with an error that says what to do, and commits nothing."""
    assert build.wait() == 1, build.output()
    output = build.output()
    assert all(text in output for text in (*told, f"To go on: corpusmill build {config}")), output
    assert len(output.splitlines()) < 60, "a reason that many parts share is told once"
    assert not (index / "LATEST").exists()
    assert not (index / "versions").exists()


def test_a_disk_that_is_too_small_is_foreseen(place: Place, disk: Path) -> None:
    model = sum(size for _, _, size in files_of(place.model).values())
    mount(disk, model + 3_000_000)  # the index keeps a copy of a local model; then 3 MB are left
    config, index = place.config(disk.parent, disk / "index")
    with Build(config) as build:
        assert_stops(config, index, build, "MB free", "Make space, then run the same command")
    assert not markers(index, "read")


@pytest.mark.parametrize(("after", "parts"), [("read", 2), ("embed", 2), ("embed", 15)])
def test_a_disk_that_fills_up_stops_the_build(place: Place, disk: Path, after: str, parts: int) -> None:
    mount(disk, 256_000_000)
    config, index = place.config(disk.parent, disk / "index")
    before = finished(index)
    with Build(config) as build:
        wait_until(lambda: len(markers(index, after)) >= parts, f"parts in {after}")
        fill(disk)
        assert_stops(config, index, build, "no space is left", "Make space")
    (disk / "filler").unlink()
    assert_untouched(before, index)


def test_the_same_command_finishes_after_space_is_made(place: Place, disk: Path) -> None:
    mount(disk, 256_000_000)
    config, index = place.config(disk.parent, disk / "index")
    before = finished(index)
    run(config)
    assert_untouched(before, index)
    assert_sound(Store(str(index)))
    assert contents(Store(str(index))) == place.contents
