"""Statistics of a whole index, added up from those of its shards in bounded memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval.format import read_header, write_header
from retrieval.lexical.integer_files import DTYPES, ArrayWriter, map_array, smallest_dtype
from retrieval.lexical.postings_files import FILES, POSTINGS_HEADER, PostingsHeader
from retrieval.lexical.statistics import FREQUENCIES, HASHES, STATISTICS_HEADER
from retrieval.lexical.term_hashes import hash_ranges, terms_between

SHARD_FILES = (POSTINGS_HEADER, FILES["hashes"], FILES["ends"])  # what is read of a shard's folder
MERGE_TERMS = 4_000_000  # held in memory at once while shards are merged


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
    hashes_out = ArrayWriter(out / HASHES, "u8")
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
