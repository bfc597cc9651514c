"""The dense index on disk: its spec, its quantizer and its shards, opened and searched."""

from retrieval.dense.quantizer import Assignment, Quantizer
from retrieval.dense.shard import DenseShard
from retrieval.dense.spec import DenseSpec, SearchParameters

__all__ = ["Assignment", "DenseShard", "DenseSpec", "Quantizer", "SearchParameters"]
