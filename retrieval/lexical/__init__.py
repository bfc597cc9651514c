"""The lexical index: how text becomes terms, statistics of the whole index, and exact BM25 by shard.

analyzer = Analyzer(settings)
statistics = Statistics.open(folder)
bm25 = BM25(settings.k1, settings.b, statistics.average_length)
shard = LexicalShard.open(folder, rows)
scores, rows = shard.search([make_query(text, analyzer, statistics)], 10, bm25)
"""

from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import BM25, LexicalQuery, TermMatch, make_query
from retrieval.lexical.lexical_shard import LexicalShard
from retrieval.lexical.statistics import Statistics

__all__ = ["BM25", "Analyzer", "LexicalQuery", "LexicalShard", "Statistics", "TermMatch", "make_query"]
