"""What a query needs of the whole index beside its shards: statistics of terms, background of vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.deadline import look
from retrieval.lexical import Analyzer, LexicalQuery, Statistics, make_query


@dataclass(frozen=True)
class QueryTerms:
    """Turns queries into terms with the statistics of the whole index."""

    analyzer: Analyzer
    statistics: Statistics

    def __call__(self, queries: Sequence[str]) -> list[LexicalQuery]:
        """Terms of each query."""
        found = []
        for query in queries:
            look()
            found.append(make_query(query, self.analyzer, self.statistics))
        return found


@dataclass(frozen=True)
class IndexStatistics:
    """`terms`: None without a lexical index. `mean`: of a sample of passage vectors, float32 (d,); None in an
    index that was built without one. `perfect`: inner product of a vector with itself where all have length
    1, else None."""

    terms: QueryTerms | None = None
    mean: np.ndarray | None = None
    perfect: float | None = None

    def background(self, vectors: np.ndarray) -> np.ndarray:
        """Mean inner product of query vectors (q, d) with random passages: float32 (q,)."""
        assert self.mean is not None  # fusions that need it are refused without
        # Not by BLAS, whose last bits depend on how many queries are asked together.
        return np.asarray(np.einsum("ij,j->i", vectors, self.mean), np.float32)
