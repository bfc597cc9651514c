"""All re-rankers by name, the cheapest first: whatever module of this folder declares one."""

from retrieval.plugins import declared
from retrieval.rerankers.reranker import Reranker

_DECLARED = declared("retrieval.rerankers", Reranker)
RERANKERS = dict(sorted(_DECLARED.items(), key=lambda entry: (entry[1].cost, entry[0])))
