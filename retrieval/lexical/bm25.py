"""BM25: its constants, and a query as the terms, weights and hashes that every shard is asked with.

score(query, passage) = sum over the query's unique terms of
    count in query * idf * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / average_length))
idf = ln(1 + (N - df + 0.5) / (df + 0.5))

(Robertson and Zaragoza 2009, with the idf of Lucene and tantivy, which is never negative.) tf counts the
term in the passage and length its terms; N, df and average_length are those of the whole index, so that
a score does not depend on how the corpus was cut into shards.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retrieval.lexical.analyzer import Analyzer

if TYPE_CHECKING:
    from retrieval.lexical.statistics import Statistics

MAX_TERMS = 1024  # unique terms of a query that are searched for


@dataclass(frozen=True)
class BM25:
    """Constants of the formula; `average_length` in terms, of the whole index."""

    k1: float
    b: float
    average_length: float

    def length_norms(self, lengths: np.ndarray) -> np.ndarray:
        """What is added to tf below the line, float32, for passage lengths in terms."""
        relative = lengths.astype(np.float32) / np.float32(max(self.average_length, 1e-9))
        return np.float32(self.k1) * (np.float32(1 - self.b) + np.float32(self.b) * relative)

    def contributions(self, weight: np.float32, counts: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Scores float32 that a term with `weight` (idf times count in the query) gives to passages."""
        tf = counts.astype(np.float32)
        below = tf + norms
        tf *= weight * np.float32(self.k1 + 1)
        tf /= below
        return tf


@dataclass(frozen=True)
class TermMatch:
    """A query term found in a passage, and what it adds to the score."""

    term: str
    idf: float
    count_in_passage: int
    score: float


@dataclass(frozen=True)
class LexicalQuery:
    """A query's unique terms in order, with hashes uint64, idf float64 and counts int64, all (t,).

    `left_out` counts unique terms beyond `MAX_TERMS`, which are not searched for.
    """

    terms: tuple[str, ...]
    hashes: np.ndarray
    idf: np.ndarray
    counts: np.ndarray
    left_out: int = 0

    @property
    def weights(self) -> np.ndarray:
        """idf times count in the query, float32 (t,)."""
        return (self.idf * self.counts).astype(np.float32)


def make_query(text: str, analyzer: Analyzer, statistics: "Statistics") -> LexicalQuery:
    """Analyse a query and weigh its terms; text without any term gives a query that matches nothing."""
    counted = Counter(analyzer(text))
    terms = list(counted)[:MAX_TERMS]
    frequencies = statistics.document_frequencies(terms)
    return LexicalQuery(
        terms=tuple(terms),
        hashes=hashes_of(terms),
        idf=idf(frequencies, statistics.documents),
        counts=np.array([counted[term] for term in terms], np.int64),
        left_out=len(counted) - len(terms),
    )


def idf(frequencies: np.ndarray, documents: int) -> np.ndarray:
    """Inverse document frequency float64 of terms that occur in `frequencies` of `documents` passages."""
    return np.log1p(np.maximum(documents - frequencies + 0.5, 0.5) / (frequencies + 0.5))


def hashes_of(terms: Sequence[str]) -> np.ndarray:
    """Stable 64-bit hashes of terms, uint64 (t,): the first 8 bytes of BLAKE2b."""
    digests = b"".join(hashlib.blake2b(term.encode(), digest_size=8).digest() for term in terms)
    return np.frombuffer(digests, "<u8")
