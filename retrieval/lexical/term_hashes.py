"""Terms by their hashes: what they are, ranges of them, and the terms of a range."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np


def hashes_of(terms: Sequence[str]) -> np.ndarray:
    """Stable 64-bit hashes of terms, uint64 (t,): the first 8 bytes of BLAKE2b."""
    digests = b"".join(hashlib.blake2b(term.encode(), digest_size=8).digest() for term in terms)
    return np.frombuffer(digests, "<u8")


def hash_ranges(number: int) -> Iterator[tuple[int, int]]:
    """Equal ranges [low, high) of 64-bit hashes, at least one."""
    number = max(1, number)
    for place in range(number):
        yield (place << 64) // number, ((place + 1) << 64) // number


def terms_between(
    hashes: np.ndarray, ends: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Terms with low <= hash < high: hashes, numbers of postings int64, and where these begin."""
    first = int(np.searchsorted(hashes, np.uint64(low)))
    last = int(np.searchsorted(hashes, np.uint64(high - 1), side="right"))
    before = int(ends[first - 1]) if first else 0
    return hashes[first:last], np.diff(ends[first:last].astype(np.int64), prepend=before), before
