"""BM25: its formula, its constants, and what a term adds to a score.

score(query, passage) = sum over the query's unique terms of
    count in query * idf * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / average_length))
idf = ln(1 + (N - df + 0.5) / (df + 0.5))

(Robertson and Zaragoza 2009, with the idf of Lucene and tantivy, which is never negative.) tf counts the
term in the passage and length its terms; N, df and average_length are those of the whole index, so that
a score does not depend on how the corpus was cut into shards.
"""

from dataclasses import dataclass

import numpy as np


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


def idf(frequencies: np.ndarray, documents: int) -> np.ndarray:
    """Inverse document frequency float64 of terms that occur in `frequencies` of `documents` passages."""
    return np.log1p(np.maximum(documents - frequencies + 0.5, 0.5) / (frequencies + 0.5))
