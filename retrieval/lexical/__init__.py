"""The lexical index: how text becomes terms, statistics of the whole index, and exact BM25 by shard.

analyzer = Analyzer(settings)
statistics = Statistics.open(folder)
bm25 = BM25(settings.k1, settings.b, statistics.average_length)
shard = LexicalShard.open(folder, rows)
scores, rows = shard.search([make_query(text, analyzer, statistics)], 10, bm25)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
