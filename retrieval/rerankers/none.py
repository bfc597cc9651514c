"""No second stage."""

from retrieval.rerankers.reranker import Reranker

NONE = Reranker("none", "the first stage decides")
