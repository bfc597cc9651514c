"""What a build tells of itself ends with it."""

from pathlib import Path

import pytest
import ray

from pipelines.runtime import Progress, start_tracker
from retrieval.storage import Store


def test_the_tracker_ends_with_its_build(ray_session: None, tmp_path: Path) -> None:
    """A driver may build again and again."""
    progress = Progress(Store(str(tmp_path)), "corpusmill build", lambda _event: None)
    tracker = start_tracker()
    progress.begin("a", tracker)
    assert ray.get(tracker.state.remote()) == ([], {})
    progress.end("done")
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(tracker.state.remote(), timeout=30)
