"""Two builders on one index: one builds, the other says who does; a lost one is replaced."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.runtime import lease as leases
from retrieval.storage.store import Store
from tests.tools.faults.faults_checks import assert_sound, contents, files_of, markers
from tests.tools.faults.faults_tools import Build, run, shared_place, wait_until, write_config

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration and its index."""
    return shared_place(tmp_path_factory).config(tmp_path_factory.mktemp("builders"))


def lease_file(index: Path) -> Path:
    """The file of the newest lease."""
    return max((index / "lease").glob("*.json"))


def test_the_second_builder_names_the_first_and_leaves(place: tuple[Path, Path]) -> None:
    config, index = place
    with Build(config) as first:
        wait_until(lambda: markers(index, "read"), "the first part")
        with Build(config) as second:
            assert second.wait() == 3, second.output()
            output = second.output()
        assert f"process {first.process.pid} " in output
        assert f"on {socket.gethostname()}" in output
        assert f"corpusmill status {index}" in output
        assert first.process.poll() is None, first.output()
        first.signal(signal.SIGKILL)
        first.wait()
        # A builder on the machine of the lost one need not wait for the lease to expire.
        number = int(lease_file(index).stem)
        with Build(config, ("read", "1", "1", "0")) as third:
            wait_until(
                lambda: int(lease_file(index).stem) > number, "the next lease", leases.LOST_AFTER_SECONDS
            )
            assert third.wait() == -signal.SIGKILL


def test_a_lost_builder_of_another_machine_is_replaced_when_its_lease_expires(
    place: tuple[Path, Path],
) -> None:
    config, index = place
    with Build(config, ("embed", "1", "2", "600")) as lost:
        assert lost.wait() == -signal.SIGKILL, lost.output()
    path = lease_file(index)
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere"}))
    before = files_of(index / "vectors")
    output = run(config)
    assert re.search(r"process \d+ of .* on elsewhere", output)
    manifest = assert_sound(Store(str(index)))
    assert manifest.version == 1
    now = files_of(index / "vectors")
    assert all(now[key] == before[key] for key in before)


def test_a_builder_that_was_replaced_while_it_slept_commits_nothing(place: tuple[Path, Path]) -> None:
    config, index = place
    values = json.loads(config.read_text())
    values["model"]["max_tokens"] = 96
    config = write_config(config.with_name("asleep.yaml"), values)
    before = set(markers(index, "embed"))
    with Build(config) as asleep:
        wait_until(lambda: len(set(markers(index, "embed")) - before) >= 2, "two parts with vectors")
        asleep.signal(signal.SIGSTOP)  # as a virtual machine that is moved, or a laptop that is closed
        run(config)
        made = files_of(index)
        asleep.signal(signal.SIGCONT)
        assert asleep.wait() == 3, asleep.output()
        assert "took over" in asleep.output()
    now = files_of(index)
    assert {key: now.get(key) for key in made if key != "progress.json"} == {
        key: made[key] for key in made if key != "progress.json"
    }
    assert assert_sound(Store(str(index))).version == 2


def test_builders_started_together_make_one_version(place: tuple[Path, Path]) -> None:
    config, index = place
    values = json.loads(config.read_text())
    values["dense"]["nlist"] = 24
    config = write_config(config.with_name("together.yaml"), values)
    with Build(config) as one, Build(config) as two:
        codes = sorted([one.wait(), two.wait()])
        assert codes == [0, 3], one.output() + two.output()
    store = Store(str(index))
    assert assert_sound(store).version == 3
    assert contents(store)["documents"] == 1197


@pytest.fixture(autouse=True)
def released(place: tuple[Path, Path]) -> Iterator[None]:
    """No test leaves a living lease."""
    yield
    assert leases.holder_lives(Store(str(place[1])), 2 * leases.HEARTBEAT_SECONDS) is False
