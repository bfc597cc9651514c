"""Stage 5b: the lexical index of each shard, a task a shard, and the statistics of the whole index."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.config import RaySettings
from pipelines.parts import Part, PartRange, read_part, vectors_fingerprint
from pipelines.runtime import (
    Progress,
    Step,
    Task,
    Usage,
    attempt_suffix,
    check_space,
    write_marker,
)
from pipelines.stages.shards import run_missing
from retrieval.lexical import ANALYSIS, SHARD_FILES, Analyzer, ShardWriter, merge_statistics
from retrieval.settings import LexicalSettings, fingerprint
from retrieval.storage import FileRecord, Store

LEXICAL_CODE = (
    2  # raised when the code changes what the index of a shard holds; the analysis has its own number
)
PARQUET_SHARE = 2.0  # the index against the compressed passages; an estimate


@dataclass(frozen=True)
class Lexical:
    """Markers of the shards' lexical indexes and of the statistics."""

    shards: list[dict[str, Any]]
    statistics: dict[str, Any]

    def files(self, shard: int) -> list[FileRecord]:
        """Files of a shard, marker last."""
        return _files(self.shards[shard])

    def manifest_values(self, settings: LexicalSettings) -> dict[str, Any]:
        """The fields of the manifest that tell of the lexical index."""
        passages, tokens = self.statistics["rows"], self.statistics["tokens"]
        return {
            "lexical": {
                "analysis": ANALYSIS,
                "settings": settings.model_dump(mode="json"),
                "documents": passages,
                "average_length": tokens / max(1, passages),
                "terms": self.statistics["terms"],
            },
            "lexical_statistics": _files(self.statistics),
        }


def build_lexical(
    store: Store, settings: LexicalSettings, parts: list[Part], shards: list[PartRange], progress: Progress,
    workers: RaySettings,
) -> Lexical | None:  # fmt: skip
    """Index the terms of every shard that is not yet; None where the configuration wants no lexical index.

    A shard is named by its titles and texts, so other metadata, k1 or b leave it as it is.
    """
    if not settings.enabled:
        return None
    folder = f"lexical/{fingerprint(LEXICAL_CODE, ANALYSIS, settings.fingerprint_values('lexical'))}"
    names = [vectors_fingerprint(shard.of(parts)) for shard in shards]
    tasks = {
        name: Task(name, {"parts": [part.plain() for part in shard.of(parts)]})
        for name, shard in zip(names, shards, strict=True)
    }
    there = store.find(folder)
    missing = [task for name, task in tasks.items() if f"{folder}/{name}.json" not in there]
    size = sum(part["passages"]["bytes"] for task in missing for part in task.values["parts"])
    check_space(store, PARQUET_SHARE * size, "the lexical index")
    steps = [Step(write_shard, (store, settings, folder))]
    markers = run_missing(store, "lexical", "shard", folder, tasks, steps, progress, workers)
    own = [markers[name] for name in names]
    whole = fingerprint(names)
    merge = {whole: Task(whole, {"shards": [_counted(marker) for marker in own]})}
    below = f"{folder}/statistics"
    steps = [Step(write_statistics, (store, below))]
    found = run_missing(store, "statistics", "file", below, merge, steps, progress, workers)
    return Lexical(own, found[whole])


def write_shard(task: Task, store: Store, settings: LexicalSettings, folder: str) -> Task:
    """Analyse and index the shard's passages, a part in memory at a time."""
    usage = Usage()
    analyzer = Analyzer(settings)
    with (
        tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary,
        store.writing_folder(f"{folder}/{task.key}-{attempt_suffix()}") as out,
    ):
        writer = ShardWriter(out.path, Path(temporary))
        for part in task.values["parts"]:
            writer.add([analyzer.passage(text) for text in _texts(store, part)])
        counts = writer.finish()
    values = {
        "files": [asdict(record) for record in out.records],
        "rows": counts["passages"],
        "tokens": counts["tokens"],
        "terms": counts["terms"],
        "postings": counts["postings"],
        "usage": usage.values(),
    }
    return Task(task.key, write_marker(store, f"{folder}/{task.key}", values))


def write_statistics(task: Task, store: Store, folder: str) -> Task:
    """Add up the document frequencies of all shards."""
    usage = Usage()
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as temporary:
        shards = [
            store.local_folder([FileRecord(**file) for file in files], Path(temporary))
            for files in task.values["shards"]
        ]
        with store.writing_folder(f"{folder}/{task.key}-{attempt_suffix()}") as out:
            counts = merge_statistics(shards, out.path)
    values = {
        "files": [asdict(record) for record in out.records],
        "rows": counts["passages"],
        "tokens": counts["tokens"],
        "terms": counts["terms"],
        "usage": usage.values(),
    }
    return Task(task.key, write_marker(store, f"{folder}/{task.key}", values))


def _texts(store: Store, part: dict[str, Any]) -> Iterator[str]:
    """What BM25 sees of a part's passages: the title in front of the text."""
    table = read_part(store, part["passages"]["key"], ["title", "text"], part["rows"])
    for title, text in zip(table.column("title").to_pylist(), table.column("text").to_pylist(), strict=True):
        yield f"{title} {text}" if title else text


def _counted(marker: dict[str, Any]) -> list[dict[str, Any]]:
    """The files of a shard that its statistics are read from."""
    return [file for file in marker["files"] if file["key"].rpartition("/")[2] in SHARD_FILES]


def _files(marker: dict[str, Any]) -> list[FileRecord]:
    return [FileRecord(**file) for file in [*marker["files"], marker["marker"]]]
