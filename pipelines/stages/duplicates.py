"""Finds documents that share an id, in bounded memory: hashes of ids, by ranges of their first byte."""

import itertools
from typing import Any

import numpy as np

from pipelines.config import RaySettings
from pipelines.parts import PREFIXES, SliceResult, id_hash, read_ids, read_part
from pipelines.runtime import FAILURE_EXAMPLES, Progress, Step, Task, run_stage
from retrieval.errors import InputError
from retrieval.storage import FileRecord, Store

IDS_A_TASK = 16_000_000  # 256 MB of hashes
MAX_DUPLICATES = 1_000_000  # ids that occur twice and are held by the driver


def find_duplicates(
    store: Store, policy: str, results: list[SliceResult], progress: Progress, workers: RaySettings
) -> dict[str, dict[str, int]]:
    """By slice key, the id hashes (hexadecimal) of which it keeps one document only, or none (-1).

    `policy`, the configuration's, says which one is kept; with "fail", InputError names the first ones.
    """
    documents = sum(result.documents for result in results)
    ranges = max(1, min(PREFIXES, -(-documents // IDS_A_TASK)))
    bounds = [PREFIXES * step // ranges for step in range(ranges + 1)]
    slices = [(result.key, result.ids) for result in results if result.ids]
    tasks = [
        Task(f"ids-{first:03d}", {"first": first, "last": last}) for first, last in itertools.pairwise(bounds)
    ]
    drops: dict[str, dict[str, int]] = {}
    found = 0
    with progress.stage("duplicates", "range of ids", len(tasks)):
        for task in run_stage("duplicates", tasks, [Step(_find, (store, slices, policy))], progress, workers):
            found += task.values["found"]
            for key, hashes in task.values["drops"].items():
                drops.setdefault(key, {}).update(hashes)
    if found and policy == "fail":
        raise InputError(
            f"{found} document ids occur more than once. The first ones:\n"
            + "\n".join(_examples(store, results, drops)),
            hint="Mend the corpus, or set corpus.duplicates to keep_first or keep_last.",
        )
    if found > MAX_DUPLICATES:
        raise InputError(
            f"{found} document ids occur more than once, and a build can sort out {MAX_DUPLICATES}",
            hint="Remove duplicates from the corpus first.",
        )
    return {key: dict(sorted(hashes.items())) for key, hashes in drops.items()}


def _find(task: Task, store: Store, slices: list[tuple[str, FileRecord]], policy: str) -> Task:
    first, last = task.values["first"], task.values["last"]
    keys, hashes, owners = [], [], []
    for number, (key, record) in enumerate(slices):
        values = read_ids(store, record, first, last)
        keys.append(key)
        hashes.append(values)
        owners.append(np.full(len(values), number, np.int64))
    found, drops = duplicated(hashes, owners, policy)
    return Task(task.key, {"found": found, "drops": {keys[owner]: entry for owner, entry in drops.items()}})


def duplicated(
    hashes: list[np.ndarray], owners: list[np.ndarray], policy: str
) -> tuple[int, dict[int, dict[str, int]]]:
    """Number of hashes that occur twice or more, and by owner which of its documents stay.

    With the policy `fail` only the first hashes are looked at, and none of their documents stays.

    hashes: (n, 2) uint64 of each owner; owners: (n,) int64 numbers of slices in ledger order.
    """
    values = np.concatenate(hashes) if hashes else np.empty((0, 2), np.uint64)
    owner = np.concatenate(owners) if owners else np.empty(0, np.int64)
    order = np.lexsort((owner, values[:, 1], values[:, 0]))
    values, owner = values[order], owner[order]
    same = (values[1:] == values[:-1]).all(axis=1)
    starts = np.flatnonzero(np.concatenate(([True], ~same)) & np.concatenate((same, [False])))
    drops: dict[int, dict[str, int]] = {}
    for start in starts[:FAILURE_EXAMPLES] if policy == "fail" else starts[: MAX_DUPLICATES + 1]:
        end = start + 1
        while end < len(values) and same[end - 1]:
            end += 1
        name = values[start].astype(">u8").tobytes().hex()
        group, counts = np.unique(owner[start:end], return_counts=True)
        keeper = len(group) - 1 if policy == "keep_last" else 0
        for place, (number, count) in enumerate(zip(group, counts, strict=True)):
            if place != keeper or policy == "fail":
                drops.setdefault(int(number), {})[name] = -1
            elif count > 1:
                drops.setdefault(int(number), {})[name] = int(count) - 1 if policy == "keep_last" else 0
    return len(starts), drops


def _examples(store: Store, results: list[SliceResult], drops: dict[str, dict[str, int]]) -> list[str]:
    """Lines that name the first ids and where they occur; reads the ids of the slices concerned."""
    wanted = {name for entry in drops.values() for name in entry}
    wanted = set(sorted(wanted)[:FAILURE_EXAMPLES])
    places: dict[str, list[str]] = {}
    for result in (result for result in results if result.key in drops):
        for part in result.parts:
            for doc_id, source, position in _documents(store, part):
                if id_hash(doc_id).hex() in wanted:
                    where = f"{source} at {position}"
                    known = places.setdefault(doc_id, [])
                    if where not in known:
                        known.append(where)
    return [
        f"  {doc_id!r}: {', '.join(where[:FAILURE_EXAMPLES])}" for doc_id, where in sorted(places.items())
    ]


def _documents(store: Store, part: dict[str, Any]) -> list[tuple[str, str, int]]:
    table = read_part(store, part["file"]["key"], ["doc_id", "source", "position"], part["rows"])
    return list(
        dict.fromkeys(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True))
    )
