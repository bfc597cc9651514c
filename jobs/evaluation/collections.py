"""Many judged collections at once: their indexes, built where they are not, and what holds over all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobs.arguments import open_store
from jobs.evaluation.evaluate import Comparison, Evaluation
from jobs.evaluation.measuring import holm, randomisation_test
from pipelines.config import BuildConfig, load_config, validate
from pipelines.sources.files import list_files
from retrieval.errors import ConfigError, InputError
from retrieval.storage import Store


@dataclass(frozen=True)
class Collection:
    """A folder in BEIR layout, its index, and how that is built; None where it has to be there."""

    name: str
    folder: Path
    index: str
    config: BuildConfig | None


@dataclass
class Evaluations:
    """What came out by collection, and the comparisons over all: every collection counts alike."""

    found: dict[str, Evaluation] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def measure(self) -> str:
        """The one that decides."""
        return next(iter(self.found.values())).measure

    def means(self) -> dict[str, float]:
        """Mean over the collections, of the stages that all of them have."""
        shared = [set(one.stages) for one in self.found.values()]
        stages = [name for name in next(iter(self.found.values())).stages if all(name in s for s in shared)]
        every = [*self.found.values()]
        return {name: float(np.mean([e.stages[name].mean(self.measure) for e in every])) for name in stages}


def collections_of(named: list[str], indexes: Path, settings: str | None) -> list[Collection]:
    """Collections as the command line names them: FOLDER, or FOLDER=INDEX.

    settings: a configuration, of which all but its corpus and its index holds for each. Raises ConfigError.
    """
    if settings is not None and Path(settings).is_dir():
        raise ConfigError(
            f"{settings} is one index, and collections are named that have indexes of their own",
            hint="Name the index of a collection so: --beir FOLDER=INDEX",
        )
    base = load_config(settings) if settings is not None else None
    found = []
    for entry in named:
        path, index = divided(entry)
        folder = Path(path)
        name = folder.resolve().name
        own = index or str(indexes / name)
        found.append(Collection(name, folder, own, None if index else _config(folder, own, base)))
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"collections are told apart by the names of their folders, and {twice[0]!r} is there twice"
        )
    return found


def divided(entry: str) -> tuple[str, str]:
    """The folder of a collection and its index, empty where that is not named."""
    if Path(entry).is_dir():  # whatever its name
        return entry, ""
    path, _, index = entry.partition("=")
    return path, index


def _config(folder: Path, index: str, base: BuildConfig | None) -> BuildConfig:
    """How the index of a collection is built. Raises InputError where the folder holds no corpus."""
    base = base or validate({"corpus": {"paths": ["-"]}, "index": {"path": "-"}}, "the command line")
    corpus = base.corpus.model_copy(update={"paths": [str(folder)], "format": "beir"})
    try:
        list_files(corpus)
    except InputError as error:
        raise InputError(error.message, hint=f"Name an index that is there: --beir {folder}=INDEX") from error
    where = base.index.model_copy(update={"path": index})
    return base.model_copy(update={"corpus": corpus, "index": where})


def compare_over_all(found: dict[str, Evaluation]) -> Evaluations:
    """Tests over the collections: signs are flipped query by query, and every collection counts alike.

    Comparisons in single collections, and those over all, are corrected together (Holm).
    """
    every = Evaluations(found)
    pairs = _pairs(found)
    tested = []
    for stage, against in pairs:
        scaled = []
        for one in found.values():
            own, other = one.stages[stage], one.stages[against]
            difference = own.decisive(every.measure) - other.decisive(every.measure)
            difference = difference[~np.isnan(difference)]
            scaled.append(difference / (len(difference) * len(found)))
        joined = np.concatenate(scaled)
        tested.append((stage, against, every.measure, float(joined.sum()), randomisation_test(joined)))
    single = [comparison for one in found.values() for comparison in one.comparisons]
    corrected = holm([*(test[-1] for test in tested), *(comparison.p for comparison in single)])
    every.comparisons = [Comparison(*test, p) for test, p in zip(tested, corrected, strict=False)]
    left = iter(corrected[len(tested) :])
    for one in found.values():
        one.comparisons = [
            Comparison(c.stage, c.against, c.measure, c.difference, c.p, next(left)) for c in one.comparisons
        ]
    return every


def _pairs(found: dict[str, Evaluation]) -> list[tuple[str, str]]:
    """Comparisons that every collection has, in their order."""
    own = [
        [(c.stage, c.against) for c in one.comparisons if c.measure == one.measure] for one in found.values()
    ]
    return [pair for pair in own[0] if all(pair in other for other in own)]


def index_of(collection: Collection, build: Callable[[BuildConfig], None]) -> Store:
    """The index of a collection, built where it is not, or not with these settings."""
    if collection.config is None:
        return open_store(collection.index)
    build(collection.config)
    return Store(collection.config.index.path, collection.config.index.storage_options)
