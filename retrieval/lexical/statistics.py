"""Statistics of the whole index: how many passages hold each term. Made of its shards, known without them.

| file | values | what it is |
| --- | --- | --- |
| statistics.json | | numbers of passages and tokens; type and length of the files; a checksum of itself |
| hashes.u8 | terms | sorted hashes of the index's terms |
| frequencies.bin | terms | passages of the index that hold the term |
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, read_header, write_header
from retrieval.lexical.bm25 import hashes_of
from retrieval.lexical.integer_files import DTYPES, ArrayEntry, ArrayWriter, map_array, smallest_dtype
from retrieval.lexical.postings import FILES, POSTINGS_HEADER, PostingsHeader
from retrieval.lexical.writer import hash_ranges, terms_between
from retrieval.storage import Count, Shape

STATISTICS_HEADER = "statistics.json"
FREQUENCIES = "frequencies.bin"
SHARD_FILES = (POSTINGS_HEADER, FILES["hashes"], FILES["ends"])  # what is read of a shard's folder
MERGE_TERMS = 4_000_000  # held in memory at once while shards are merged


class _Header(Shape):
    passages: Count
    tokens: Count
    hashes: ArrayEntry
    frequencies: ArrayEntry


class Statistics:
    """Document frequencies of the whole index, memory-mapped."""

    def __init__(self, hashes: np.ndarray, frequencies: np.ndarray, documents: int, tokens: int) -> None:
        self._hashes = hashes
        self._frequencies = frequencies
        self.documents = documents
        self.tokens = tokens

    @classmethod
    def open(cls, folder: Path) -> "Statistics":
        """Map the files. Raises IndexDamaged where one is missing or has another size."""
        header = read_header(folder / STATISTICS_HEADER, _Header)
        hashes = map_array(folder / FILES["hashes"], header.hashes)
        frequencies = map_array(folder / FREQUENCIES, header.frequencies)
        if len(hashes) != len(frequencies):
            raise IndexDamaged(f"The files in {folder} do not belong together.", hint=DAMAGE_HINT)
        return cls(hashes, frequencies, header.passages, header.tokens)

    @property
    def average_length(self) -> float:
        """Terms of a passage, on average."""
        return self.tokens / max(1, self.documents)

    def document_frequencies(self, terms: Sequence[str]) -> np.ndarray:
        """Passages of the index that hold each term, int64 (t,); 0 for unknown terms."""
        if not len(self._hashes):
            return np.zeros(len(terms), np.int64)
        hashes = hashes_of(terms)
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[at] == hashes, self._frequencies[at], 0).astype(np.int64)


def merge_statistics(shards: Sequence[Path], out: Path) -> dict[str, int]:
    """Add up the frequencies of shards' folders, of which `SHARD_FILES` are read.

    Memory is bounded by a range of hashes. Numbers of `passages`, `tokens` and `terms`.
    """
    opened: list[tuple[np.ndarray, np.ndarray]] = []
    passages = tokens = 0
    for folder in shards:
        header = read_header(folder / POSTINGS_HEADER, PostingsHeader)
        opened.append(
            (
                map_array(folder / FILES["hashes"], header.hashes),
                map_array(folder / FILES["ends"], header.ends),
            )
        )
        passages, tokens = passages + header.passages, tokens + header.tokens
    hashes_out = ArrayWriter(out / FILES["hashes"], "u8")
    frequencies_out = ArrayWriter(out / FREQUENCIES, smallest_dtype(passages))
    for low, high in hash_ranges(-(-sum(len(hashes) for hashes, _ in opened) // MERGE_TERMS)):
        parts = [terms_between(hashes, ends, low, high) for hashes, ends in opened]
        hashes = np.concatenate([part[0] for part in parts] or [np.empty(0, DTYPES["u8"])])
        frequencies = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
        unique, places = np.unique(hashes, return_inverse=True)
        summed = np.zeros(len(unique), np.int64)
        np.add.at(summed, places, frequencies)
        hashes_out.append(unique)
        frequencies_out.append(summed)
    entries = {"hashes": hashes_out.close(), "frequencies": frequencies_out.close()}
    write_header(out / STATISTICS_HEADER, {"passages": passages, "tokens": tokens, **entries})
    return {"passages": passages, "tokens": tokens, "terms": entries["hashes"]["count"]}
