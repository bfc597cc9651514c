"""Makes an index anew with the encoder of now, beside the old one, while steps go on."""

import tempfile
import threading
from pathlib import Path
from typing import Any

from pipelines.config import load_config
from pipelines.training.errors import TrainingFailed
from pipelines.training.models import Tower
from pipelines.training.running import World
from pipelines.training.settings import TrainConfig
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.search import Searcher
from retrieval.storage import Store


class Refresher:
    """Every `rag.refresh` steps the first worker saves the query encoder and builds a new version with it.

    The build runs in a thread and its tasks in other processes: no step waits. All workers take the version
    at the same step, once it is committed; a service of the index takes it as it takes every new version. A
    build that fails ends the training; the version before stays. With `towers: shared` passages are embedded
    anew; else only the query side changes.
    """

    def __init__(self, config: TrainConfig) -> None:
        """Raises ConfigError where nothing says how the index is built."""
        if config.rag.build is None:
            raise ConfigError(
                "rag.refresh makes the index anew, and rag.build does not say how",
                hint="Name the configuration that the index was built with: rag.build: build.yaml",
            )
        self._every = config.rag.refresh or 1
        self._build = load_config(config.rag.build)
        self._shared = config.towers == "shared"
        self._output = config.output
        self._index = config.index
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None
        self._version = 0
        self.versions: list[int] = []

    def at(self, step: int, tower: Tower, searcher: Searcher, world: World) -> Searcher:
        """The searcher of a step: that of before, or of a version that is ready. Raises TrainingFailed."""
        if world.rank == 0 and step and step % self._every == 0 and not self._running():
            self._start(step, tower)
        self._check()
        newest = world.most(self._version)
        if newest > searcher.manifest.version:
            searcher.close()
            self.versions.append(newest)
            return Searcher.open(self._index.path, options=self._index.storage_options, version=newest)
        return searcher

    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self, step: int, tower: Tower) -> None:
        folder = Path(tempfile.mkdtemp(prefix="corpusmill-refresh-"))
        if Store(self._output).is_local:
            folder = Path(self._output) / "refresh" / f"{step:08d}"
        tower.save(folder)
        update: dict[str, Any] = {"name" if self._shared else "query_name": str(folder)}
        model = self._build.model.model_copy(update=update)
        settings = self._build.model_copy(update={"model": model})
        self._thread = threading.Thread(target=self._run, args=(settings,), name="refresh", daemon=True)
        self._thread.start()

    def _run(self, settings: Any) -> None:
        from pipelines.index import build

        try:
            built = build(settings, "corpusmill train rag, as before", lambda _event: None)
            self._version = built.manifest.version
        except (CorpusmillError, OSError, RuntimeError) as error:
            self._failed = error

    def finish(self) -> None:
        """Have a build that is under way end. Raises TrainingFailed where it failed."""
        if self._thread is not None:
            self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._failed is not None:
            raise TrainingFailed(f"the index could not be made anew: {self._failed}") from self._failed
