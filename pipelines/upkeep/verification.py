"""Re-reads the artefacts of a version: sizes, checksums, counts and the ids that rows add up to."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.config import RaySettings
from pipelines.runtime import Progress, Step, Task, run_stage
from pipelines.upkeep.file_counts import Expected, expectations, problem
from retrieval.errors import IndexDamaged
from retrieval.format import Manifest
from retrieval.storage import Store, damaged_copy, default_cache

FILES_A_TASK = 256
BYTES_A_TASK = 2_000_000_000
THREADS = 4


def verify(
    store: Store, manifest: Manifest, listener: Callable[[int, int], None], plugins: Collection[str] = ()
) -> list[str]:
    """Everything that is wrong with a version, a line each; `listener` gets bytes done and in all.

    plugins: those that may be loaded to say what their files hold; checksums need none.
    """
    problems = wrong_counts(manifest)
    items = expectations(manifest, plugins)
    total, done = sum(item.file.bytes for item in items), 0
    with ThreadPoolExecutor(THREADS) as pool:
        for item, found in zip(items, pool.map(lambda item: problem(store, item), items), strict=True):
            done += item.file.bytes
            listener(done, total)
            if found:
                problems.append(f"{item.file.key}: {found}")
    return problems


def damaged_copies(store: Store, manifest: Manifest) -> list[str]:
    """Damaged copies of a version's files in this machine's cache, a line each; they are removed.

    They are fetched again when a search needs them. A local index has no copies.
    """
    if store.is_local:
        return []
    cache = default_cache(store)
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda file: damaged_copy(file, cache), manifest.files())
        return [f"{file.key}: {wrong}" for file, wrong in zip(manifest.files(), found, strict=True) if wrong]


def verify_on_workers(
    store: Store, manifest: Manifest, plugins: Collection[str], progress: Progress, workers: RaySettings
) -> None:
    """The same on all workers, before a commit; raises IndexDamaged."""
    problems = wrong_counts(manifest)
    tasks = [
        Task(f"files-{number:06d}", {"items": [item.plain() for item in group]})
        for number, group in enumerate(_groups(expectations(manifest, plugins)))
    ]
    with progress.stage("verify", "file", len(tasks)):
        for task in run_stage("verify", tasks, [Step(_check, (store,))], progress, workers):
            problems += task.values["problems"]
    if problems:
        named = "\n".join(f"  {line}" for line in problems[:10])
        raise IndexDamaged(
            f"{len(problems)} artefacts are damaged, nothing was committed:\n{named}",
            hint="Delete the named files, then run the same command: it makes just them again.",
        )


def wrong_counts(manifest: Manifest) -> list[str]:
    """Counts that do not add up: documents, passages, and the rows of consecutive shards."""
    problems = []
    documents = sum(entry.documents for entry in manifest.slices)
    rejected = sum(entry.rejected for entry in manifest.slices)
    if (documents, rejected) != (manifest.documents, manifest.rejected):
        problems.append(
            f"slices have {documents} documents and {rejected} rejects, "
            f"the manifest {manifest.documents} and {manifest.rejected}"
        )
    lost = [entry.key for entry in manifest.slices if entry.read != entry.documents + entry.rejected]
    problems += [f"slice {key}: documents read are not documents indexed and rejected" for key in lost]
    in_parts = sum(part.documents for part in manifest.parts)
    if in_parts != manifest.documents:
        problems.append(f"parts have {in_parts} documents, the manifest {manifest.documents}")
    rows = sum(part.rows for part in manifest.parts)
    if rows != manifest.passages:
        problems.append(f"parts have {rows} passages, the manifest {manifest.passages}")
    next_row, next_part = 0, 0
    for shard in manifest.shards:
        own = sum(part.rows for part in manifest.parts[shard.first_part : shard.end_part])
        if (shard.base, shard.first_part, shard.rows) != (next_row, next_part, own):
            problems.append(f"shard {shard.name} does not follow the one before it, or misses rows")
        next_row, next_part = shard.base + shard.rows, shard.end_part
    if (next_row, next_part) != (manifest.passages, len(manifest.parts)):
        problems.append(f"shards cover {next_row} of {manifest.passages} passages")
    return problems


def _groups(items: list[Expected]) -> Iterator[list[Expected]]:
    group: list[Expected] = []
    size = 0
    for item in items:
        if group and (len(group) >= FILES_A_TASK or size + item.file.bytes > BYTES_A_TASK):
            yield group
            group, size = [], 0
        group.append(item)
        size += item.file.bytes
    if group:
        yield group


def _check(task: Task, store: Store) -> Task:
    items = [Expected.from_plain(values) for values in task.values["items"]]
    problems = [f"{item.file.key}: {found}" for item in items if (found := problem(store, item))]
    return Task(task.key, {"problems": problems, "rows": len(items)})
