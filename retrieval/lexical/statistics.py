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
from retrieval.format import DAMAGE_HINT, read_header
from retrieval.lexical.integer_files import ArrayEntry, map_array
from retrieval.lexical.term_hashes import hashes_of
from retrieval.storage import Count, Shape

STATISTICS_HEADER = "statistics.json"
HASHES, FREQUENCIES = "hashes.u8", "frequencies.bin"


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
        hashes = map_array(folder / HASHES, header.hashes)
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
