"""The query path: everything between a question and passages, in one process."""

from retrieval.search.ranking import Ranking
from retrieval.search.result import Coverage, Explanation, Hit, Result, StageScore
from retrieval.search.searcher import Searcher

__all__ = ["Coverage", "Explanation", "Hit", "Ranking", "Result", "Searcher", "StageScore"]
