"""The Ray that is started for one process: where its files are, and what stays of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.runtime.local_ray import own_ray
from retrieval.errors import ConfigError
from tests.tools.serving.listening_tools import reachable


def test_a_place_that_cannot_hold_rays_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    for place, reason in ((long, "too long"), (tmp_path / "missing", "No such file")):
        monkeypatch.setenv("RAY_TMPDIR", str(place))
        with pytest.raises(ConfigError, match=reason) as raised, own_ray():
            pass
        assert "RAY_TMPDIR" in raised.value.hint
    assert list(long.iterdir()) == []


FAILING = """
import ray
from pipelines.runtime.local_ray import own_ray
with own_ray(num_cpus=1, include_dashboard=False, object_store_memory=100_000_000) as folder:
    print(folder, flush=True)
    raise ValueError("the work failed")
"""


@pytest.mark.slow
def test_after_a_failure_logs_stay_for_their_user_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_A")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", FAILING], env=environment, capture_output=True, text=True, timeout=200
    )
    assert "the work failed" in done.stderr
    folder = Path(done.stdout.splitlines()[0])
    (session,) = folder.glob("ray/session_2*")
    assert {path.name for path in session.iterdir() if path.is_dir()} == {"logs"}
    assert list(session.glob("logs/gcs_server*"))
    assert not (folder / "auth_token").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert reachable(folder) == []
    shutil.rmtree(folder)
