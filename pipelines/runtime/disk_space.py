"""Foresees a full disk: what a stage is about to write against what is free."""

from collections.abc import Collection, Iterable

from pipelines.sources import Slice, format_named
from retrieval.errors import StorageError
from retrieval.storage import Store

RESERVE_BYTES = 4_000_000  # manifests, markers and progress still have to fit
PARQUET_SHARE = 0.4  # compressed passages against plain text; an estimate, low so as not to refuse in vain
UNPACKED = 2.5  # a compressed input against its size


def check_space(store: Store, needed: float, what: str) -> None:
    """Raise StorageError if about `needed` bytes do not fit the disk of a local index."""
    free = store.free_bytes()
    if free is None or free >= needed + RESERVE_BYTES:
        return
    raise StorageError(
        f"{what} need about {(needed + RESERVE_BYTES) / 1e6:,.0f} MB with some to spare, "
        f"the disk of {store.url} has {free / 1e6:,.0f} MB free",
        hint="Make space, then run the same command: finished parts are kept.",
    )


def passages_estimate(slices: Iterable[Slice], plugins: Collection[str]) -> float:
    """Bytes that the parts of these slices will take, roughly."""
    ranges = 0.0
    whole: dict[str, float] = {}
    for entry in slices:
        if format_named(entry.format, plugins).cut_by_bytes and entry.end > entry.start:
            ranges += entry.end - entry.start
        else:
            whole |= {file.name: file.size * (UNPACKED if file.compression else 1) for file in entry.files}
    return (ranges + sum(whole.values())) * PARQUET_SHARE
