"""What the tests of the lexical index share: passages of a Zipf vocabulary, shards of them, BM25 by hand."""

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from retrieval.format.vectors import best_rows
from retrieval.lexical.analysis import Analyzer
from retrieval.lexical.bm25 import BM25
from retrieval.lexical.lexical_shard import LexicalShard
from retrieval.lexical.statistics import Statistics
from retrieval.lexical.statistics_merge import merge_statistics
from retrieval.lexical.writer import ShardWriter
from retrieval.settings import LexicalSettings

ANALYZER = Analyzer(LexicalSettings())
PART = 300


def make_passages(count: int, seed: int = 0, words: int = 400) -> list[str]:
    """Passages of 3 to 120 words, some words in most passages, most in few; lengths grow with the row."""
    random = np.random.default_rng(seed)
    vocabulary = [f"word{number}x" for number in range(words)]
    shares = 1 / np.arange(1, words + 1)
    passages = []
    for row in range(count):
        length = 3 + int(random.integers(1, 60)) + 60 * row // count
        passages.append(" ".join(random.choice(vocabulary, length, p=shares / shares.sum())))
    return passages


def make_queries(count: int, seed: int = 1, words: int = 400) -> list[str]:
    """Queries of 1 to 7 words, some of them twice in it."""
    random = np.random.default_rng(seed)
    return [
        " ".join(f"word{number}x" for number in (random.random(length) ** 3 * words).astype(int))
        for length in random.integers(1, 8, count)
    ]


@dataclass
class Corpus:
    """Passages in contiguous shards below one folder."""

    folders: list[Path]
    bases: list[int]
    shards: list[LexicalShard]
    statistics: Statistics

    def bm25(self, k1: float = 1.2, b: float = 0.75) -> BM25:
        """Constants with the average length of all."""
        return BM25(k1, b, self.statistics.average_length)

    def search(self, queries: Sequence, k: int, bm25: BM25, **options: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and ids (q, k) over all shards."""
        found = [shard.search(queries, k, bm25, **options) for shard in self.shards]
        ids = [
            np.where(rows >= 0, rows + base, -1) for (_, rows), base in zip(found, self.bases, strict=True)
        ]
        return best_rows(np.concatenate([scores for scores, _ in found], 1), np.concatenate(ids, 1), k)


def write_shard(folder: Path, passages: Sequence[str], analyzer: Analyzer = ANALYZER) -> Path:
    """A shard of passages, written in parts."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        writer = ShardWriter(folder, Path(work))
        for start in range(0, len(passages), PART):
            writer.add([analyzer.passage(text) for text in passages[start : start + PART]])
        writer.finish()
    return folder


def make_corpus(root: Path, passages: Sequence[str], cuts: Sequence[int] = ()) -> Corpus:
    """Write and open the passages, cut before the rows `cuts`."""
    bounds = [0, *cuts, len(passages)]
    folders, shards = [], []
    for number, (first, end) in enumerate(pairwise(bounds)):
        folders.append(write_shard(root / f"shard-{number}", passages[first:end]))
        shards.append(LexicalShard.open(folders[-1], end - first))
    (root / "statistics").mkdir()
    merge_statistics(folders, root / "statistics")
    return Corpus(folders, bounds[:-1], shards, Statistics.open(root / "statistics"))


class Exhaustive:
    """BM25 of every passage by the formula."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._counted = [Counter(ANALYZER(text)) for text in passages]
        self._lengths = np.array([terms.total() for terms in self._counted])

    def scores(self, query: str, k1: float = 1.2, b: float = 0.75) -> np.ndarray:
        """Scores float64 of all passages."""
        scores = np.zeros(len(self._counted))
        norms = k1 * (1 - b + b * self._lengths / self._lengths.mean())
        for term, times in Counter(ANALYZER(query)).items():
            tf = np.array([terms[term] for terms in self._counted], float)
            df = np.count_nonzero(tf)
            idf = math.log(1 + (len(tf) - df + 0.5) / (df + 0.5))
            added = times * idf * (k1 + 1) * tf / np.maximum(tf + norms, 1e-300)
            scores += np.where(tf > 0, added, 0)
        return scores


def assert_best(scores: np.ndarray, rows: np.ndarray, exact: np.ndarray, k: int) -> None:
    """A list is the k best of the exact scores in their order, as far as float32 can tell."""
    wanted = np.sort(exact[exact > 0])[::-1][:k]
    found = rows[rows >= 0]
    assert len(found) == len(wanted) == len(set(found.tolist()))
    np.testing.assert_allclose(scores[: len(found)], wanted, rtol=3e-6)
    np.testing.assert_allclose(exact[found], wanted, rtol=3e-6)
    assert np.isneginf(scores[len(found) :]).all()
