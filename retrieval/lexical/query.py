"""A query as the terms, weights and hashes that every shard is asked with."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from retrieval.lexical.analysis import STOP_MARK, Analyzer
from retrieval.lexical.bm25 import idf
from retrieval.lexical.statistics import Statistics
from retrieval.lexical.term_hashes import hashes_of

MAX_TERMS = 1024  # unique terms of a query that are searched for


@dataclass(frozen=True)
class LexicalQuery:
    """A query's unique terms in order, with hashes uint64, idf float64 and counts int64, all (t,).

    `left_out` counts unique terms beyond `MAX_TERMS`, which are not searched for. `only_stop_words`: the text
    has no others, so they are what is searched for.
    """

    terms: tuple[str, ...]
    hashes: np.ndarray
    idf: np.ndarray
    counts: np.ndarray
    left_out: int = 0
    only_stop_words: bool = False

    @property
    def weights(self) -> np.ndarray:
        """idf times count in the query, float32 (t,)."""
        return (self.idf * self.counts).astype(np.float32)


def make_query(text: str, analyzer: Analyzer, statistics: Statistics) -> LexicalQuery:
    """Analyse a query and weigh its terms; text without any term gives a query that matches nothing."""
    found = analyzer.query(text)
    only_stop_words = not found.words and bool(found.stop_words)
    counted = Counter(found.stop_words if only_stop_words else found.words)
    terms = list(counted)[:MAX_TERMS]
    frequencies = statistics.document_frequencies(terms)
    return LexicalQuery(
        terms=tuple(term.removeprefix(STOP_MARK) for term in terms) if only_stop_words else tuple(terms),
        hashes=hashes_of(terms),
        idf=idf(frequencies, statistics.documents),
        counts=np.array([counted[term] for term in terms], np.int64),
        left_out=len(counted) - len(terms),
        only_stop_words=only_stop_words,
    )
