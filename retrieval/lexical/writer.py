"""Writes a shard in bounded memory: sorted runs of postings, then their merge by ranges of hashes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from retrieval.format import write_header
from retrieval.lexical.analysis import Terms
from retrieval.lexical.candidates import CandidatesWriter
from retrieval.lexical.integer_files import DTYPES, ArrayWriter, smallest_dtype
from retrieval.lexical.postings_files import FILES, POSTINGS_HEADER
from retrieval.lexical.term_hashes import hash_ranges, hashes_of, terms_between

RUN_POSTINGS = 2_000_000  # held in memory before they are sorted and written as a run
MERGE_POSTINGS = 2_000_000  # held in memory while runs are merged; a very frequent term can be more


@dataclass(frozen=True)
class Run:
    """Sorted postings of some parts as files: the terms' hashes and ends, then rows and counts."""

    stem: Path
    postings: int

    def array(self, name: str, dtype: str) -> np.ndarray:
        """One of its arrays, mapped."""
        path = self.stem.with_suffix(f".{name}")
        if not path.stat().st_size:
            return np.empty(0, DTYPES[dtype])
        return np.memmap(path, DTYPES[dtype], mode="r").view(np.ndarray)


class ShardWriter:
    """Writes a shard of the lexical index to a folder: our postings and tantivy's index, part by part.

    `work` is a folder for what is needed only until `finish`.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self._postings = PostingsWriter(folder, work)
        self._candidates = CandidatesWriter(folder)

    def add(self, passages: Sequence[Terms]) -> None:
        """Add consecutive passages."""
        self._postings.add(passages)
        self._candidates.add([passage.words for passage in passages])

    def finish(self) -> dict[str, int]:
        """Write what is left; numbers of `passages`, `tokens`, `terms` and `postings`."""
        self._candidates.finish()
        return self._postings.finish()


class PostingsWriter:
    """Takes the terms of passages part by part and writes a shard's postings to `folder`.

    Runs go to the folder `work`; nothing there is needed afterwards.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self._folder = folder
        self._work = work
        self._runs: list[Run] = []
        self._pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._lengths = ArrayWriter(folder / FILES["lengths"], "u4")
        self._passages = self._tokens = self._largest = 0

    def add(self, passages: Sequence[Terms]) -> None:
        """Add consecutive passages. Their stop words have postings, but count in no length."""
        lengths = np.fromiter((len(passage.words) for passage in passages), np.int64, len(passages))
        hashes, rows, counts = _inverted(passages, lengths)
        self._pending.append((hashes, (rows + self._passages).astype("<u4"), counts.astype("<u4")))
        self._lengths.append(lengths)
        self._passages += len(passages)
        self._tokens += int(lengths.sum())
        self._largest = max(self._largest, int(counts.max(initial=0)))
        if sum(len(block[0]) for block in self._pending) >= RUN_POSTINGS:
            self._flush()

    def _flush(self) -> None:
        hashes, rows, counts = _by_hash(self._pending)
        self._pending = []
        stem = self._work / f"run-{len(self._runs):08d}"
        unique, frequencies = _groups(hashes)
        unique.tofile(stem.with_suffix(".hashes"))
        np.cumsum(frequencies, dtype="<u8").tofile(stem.with_suffix(".ends"))
        rows.tofile(stem.with_suffix(".rows"))
        counts.tofile(stem.with_suffix(".counts"))
        self._runs.append(Run(stem, len(rows)))

    def finish(self) -> dict[str, int]:
        """Merge the runs; numbers of `passages`, `tokens`, `terms` and `postings`."""
        if self._pending:
            self._flush()
        counts_dtype = smallest_dtype(self._largest)
        writers = {
            name: ArrayWriter(self._folder / FILES[name], dtype)
            for name, dtype in (("hashes", "u8"), ("ends", "u8"), ("rows", "u4"), ("counts", counts_dtype))
        }
        end = 0
        for hashes, rows, counts in _merged(self._runs):
            unique, frequencies = _groups(hashes)
            writers["hashes"].append(unique)
            writers["ends"].append(end + np.cumsum(frequencies))
            writers["rows"].append(rows)
            writers["counts"].append(counts)
            end += len(rows)
        entries = {name: writer.close() for name, writer in (writers | {"lengths": self._lengths}).items()}
        values = {"passages": self._passages, "tokens": self._tokens}
        write_header(self._folder / POSTINGS_HEADER, {**values, **entries})
        return {**values, "terms": entries["hashes"]["count"], "postings": end}


def _merged(runs: Sequence[Run]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Postings of all runs by hash, and by row within a term: hashes, rows, counts, a range at a time."""
    opened = [
        (
            run.array("hashes", "u8"),
            run.array("ends", "u8"),
            run.array("rows", "u4"),
            run.array("counts", "u4"),
        )
        for run in runs
    ]
    for low, high in hash_ranges(-(-sum(run.postings for run in runs) // MERGE_POSTINGS)):
        blocks = []
        for hashes, ends, rows, counts in opened:
            unique, frequencies, start = terms_between(hashes, ends, low, high)
            span = slice(start, start + int(frequencies.sum()))
            blocks.append((np.repeat(unique, frequencies), rows[span], counts[span]))
        if any(len(block[0]) for block in blocks):
            yield _by_hash(blocks)


def _by_hash(
    blocks: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks, each sorted and with rows after those of the one before it, as one sorted block."""
    hashes, rows, counts = (np.concatenate(column) for column in zip(*blocks, strict=True))
    order = np.argsort(hashes, kind="stable")
    return hashes[order], rows[order], counts[order]


def _inverted(passages: Sequence[Terms], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes uint64, rows int64 and counts int64 of the passages' postings, by hash and row."""
    stops = np.fromiter((len(passage.stop_words) for passage in passages), np.int64, len(passages))
    words = chain.from_iterable(passage.words for passage in passages)
    stop_words = chain.from_iterable(passage.stop_words for passage in passages)
    column = pa.array([*words, *stop_words], pa.large_string())
    encoded = column.dictionary_encode()
    hashes = hashes_of(encoded.dictionary.to_pylist())
    # Terms are numbered in the order of their hashes, so that one sort of whole numbers orders all.
    ranks = np.empty(len(hashes), np.int64)
    ranks[np.argsort(hashes)] = np.arange(len(hashes))
    numbers = ranks[encoded.indices.to_numpy()]
    places = np.arange(len(passages))
    rows = np.concatenate([np.repeat(places, lengths), np.repeat(places, stops)])
    keys = numbers * max(1, len(passages)) + rows
    unique, counts = np.unique(keys, return_counts=True)
    ordered = np.sort(hashes)
    return ordered[unique // max(1, len(passages))], unique % max(1, len(passages)), counts


def _groups(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different values of a sorted array, and how often each occurs."""
    firsts = np.flatnonzero(np.concatenate([[len(hashes) > 0], hashes[1:] != hashes[:-1]]))
    return hashes[firsts], np.diff(np.append(firsts, len(hashes)))
