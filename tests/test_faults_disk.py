"""A disk that is full: a clear error, beforehand where it can be foreseen; no version; then it goes on."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.storage import Store
from tests.faults_tools import (
    Build, assert_sound, assert_untouched, files_of, finished, make_corpus, make_model, markers, run, settings, wait_until,
    write_config,
)  # fmt: skip

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


def mount(folder: Path, size: int) -> None:
    """Mount a file system in memory of `size` bytes, or change the size of the one that is mounted."""
    options = f"size={size}" if not os.path.ismount(folder) else f"remount,size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, which is small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount(folder, 64_000_000)
    except (subprocess.CalledProcessError, FileNotFoundError, PermissionError) as error:
        pytest.skip(f"this user may not mount a tmpfs, so no small disk can be made: {error}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus and a model."""
    root = tmp_path_factory.mktemp("disk")
    return make_corpus(root / "corpus"), make_model(root / "model")


def assert_nothing_committed(index: Path) -> None:
    assert not (index / "LATEST").exists()
    assert not (index / "versions").exists()


def fill(folder: Path, leave: int) -> Path:
    """A file that leaves `leave` bytes free."""
    path = folder / "filler"
    with open(path, "wb") as file:
        for _ in range(max(0, (shutil.disk_usage(folder).free - leave) // 4096)):
            file.write(bytes(4096))
    return path


def test_a_disk_that_is_too_small_is_foreseen(source: tuple[Path, Path], disk: Path) -> None:
    index = disk / "index"
    config = write_config(disk.parent / "small.yaml", settings(source[0], index, source[1]))
    model = sum(size for _, _, size in files_of(source[1]).values())
    mount(disk, model + 3_000_000)  # the index keeps a copy of a local model; then 3 MB are left
    with Build(config) as build:
        assert build.wait() == 1, build.output()
        assert "MB free" in build.output()
        assert "Make space, then run the same command" in build.output()
    assert_nothing_committed(index)
    assert not markers(index, "read")
    mount(disk, 256_000_000)
    run(config)
    assert_sound(Store(str(index)))


@pytest.mark.parametrize("stage", ["read", "embed", "passages"])
def test_a_disk_that_fills_up_stops_the_build(source: tuple[Path, Path], disk: Path, stage: str) -> None:
    index = disk / "index"
    config = write_config(disk.parent / "full.yaml", settings(source[0], index, source[1]))
    earlier = {"read": "read", "embed": "embed", "passages": "embed"}[stage]
    with Build(config) as build:
        wait_until(lambda: len(markers(index, earlier)) >= (18 if stage == "passages" else 2), f"parts in {earlier}")
        fill(disk, 0)
        assert build.wait() == 1, build.output()
        output = build.output()
        assert "no space is left" in output or "MB free" in output, output
        assert "To go on: corpusmill build" in output
    assert_nothing_committed(index)
    before = finished(index)
    (disk / "filler").unlink()
    run(config)
    assert_untouched(before, index, except_for=("/pieces/",))
    assert_sound(Store(str(index)))
