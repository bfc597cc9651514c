"""Is lexical search exact, and the same however the corpus is cut? One shard against several, measured.

    python benchmarks/search/lexical_shards.py --corpus FOLDER --queries FILE [--documents N] [--shards 8]

FOLDER holds corpus.jsonl (BEIR) or Parquet files with `title` and `text`; FILE is queries.jsonl with `text`
or `question`. Documents are taken whole, as passages. For k = 10, 100 and 1000: the share of queries whose
ordered top k is that of exhaustive BM25 in float64, from one shard and from several contiguous ones, by
either way of searching; the same for tantivy's own scores; how many of tantivy's candidates hold the top k;
and milliseconds a query.
"""

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tantivy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval.format import best_rows
from retrieval.lexical import (
    BM25,
    Analyzer,
    LexicalQuery,
    LexicalShard,
    ShardWriter,
    Statistics,
    Terms,
    make_query,
    merge_statistics,
)
from retrieval.lexical.candidates import ROW_FIELD, TERMS_FIELD, Candidates
from retrieval.settings import LexicalSettings

DEPTHS = (10, 100, 1000)
PART = 4096
MOST_CANDIDATES = 20_000
NEAR = 2e-6  # relative difference below which float32 may order two passages either way


def documents(folder: Path) -> Iterator[str]:
    """Title and text of every document."""
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(PART, columns=["title", "text"]):
            for record in batch.to_pylist():
                yield f"{record['title']} {record['text']}".strip()
    for path in sorted(folder.glob("corpus.jsonl*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                yield f"{record.get('title', '')} {record['text']}".strip()


def read_queries(path: Path, most: int) -> list[str]:
    """The first queries of a file."""
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in islice(lines, most)]
    return [record.get("text") or record["question"] for record in records]


@dataclass
class Index:
    """The same passages in contiguous shards, with the statistics of all."""

    folders: list[Path]
    bases: list[int]
    shards: list[LexicalShard]
    statistics: Statistics

    @classmethod
    def build(cls, passages: Sequence[Terms], shards: int, root: Path) -> "Index":
        """Write and open the shards."""
        cuts = np.linspace(0, len(passages), shards + 1).astype(int).tolist()
        folders = [root / f"shard-{number}" for number in range(shards)]
        for folder, first, end in zip(folders, cuts[:-1], cuts[1:], strict=True):
            folder.mkdir(parents=True)
            with tempfile.TemporaryDirectory() as work:
                writer = ShardWriter(folder, Path(work))
                for start in range(first, end, PART):
                    writer.add(passages[start : min(start + PART, end)])
                writer.finish()
        (root / "statistics").mkdir()
        merge_statistics(folders, root / "statistics")
        sizes = np.diff(cuts).tolist()
        opened = [LexicalShard.open(folder, rows) for folder, rows in zip(folders, sizes, strict=True)]
        return cls(folders, cuts[:-1], opened, Statistics.open(root / "statistics"))

    def search(self, query: LexicalQuery, k: int, bm25: BM25, scan_postings: int | None = None) -> np.ndarray:
        """Ids of the k best of all shards."""
        limit = {} if scan_postings is None else {"scan_postings": scan_postings}
        found = [shard.search([query], k, bm25, **limit) for shard in self.shards]
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        bases = zip(found, self.bases, strict=True)
        ids = np.concatenate([np.where(rows >= 0, rows + base, -1) for (_, rows), base in bases], axis=1)
        _, top = best_rows(scores, ids, k)
        return top[0][top[0] >= 0]

    def by_tantivy(self, query: LexicalQuery, k: int) -> np.ndarray:
        """Ids of the k best by tantivy's own scores, each shard with its own statistics."""
        scores: list[float] = []
        ids: list[int] = []
        for folder, base in zip(self.folders, self.bases, strict=True):
            index = tantivy.Index.open(str(folder))
            terms = [
                tantivy.Query.term_query(index.schema, TERMS_FIELD, term, "freq") for term in query.terms
            ]
            searcher = index.searcher()
            hits = searcher.search(
                tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms]), k, count=False
            ).hits
            scores += [score for score, _ in hits]
            ids += [
                base + row for row in searcher.fast_field_values(ROW_FIELD, [address for _, address in hits])
            ]
        order = np.lexsort((ids, -np.array(scores)))[:k]
        return np.array(ids, np.int64)[order]


class Exhaustive:
    """BM25 of every passage in float64, straight from the formula; only the queries' terms are kept."""

    def __init__(self, passages: Sequence[list[str]], wanted: set[str], k1: float, b: float) -> None:
        counts: dict[str, dict[int, int]] = defaultdict(dict)
        for row, terms in enumerate(passages):
            for term in terms:
                if term in wanted:
                    counts[term][row] = counts[term].get(row, 0) + 1
        self._postings = {
            term: (np.fromiter(found, np.int64, len(found)), np.fromiter(found.values(), float, len(found)))
            for term, found in counts.items()
        }
        lengths = np.array([len(terms) for terms in passages], float)
        self._k1 = k1
        self._norms = k1 * (1 - b + b * lengths / lengths.mean())

    def scores(self, terms: Sequence[str]) -> np.ndarray:
        """Scores float64 of all passages for a query's terms."""
        total = np.zeros(len(self._norms))
        for term in terms:
            if term in self._postings:
                rows, tf = self._postings[term]
                idf = np.log(1 + (len(total) - len(rows) + 0.5) / (len(rows) + 0.5))
                total[rows] += idf * (self._k1 + 1) * tf / (tf + self._norms[rows])
        return total


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Ids of the k best, equal scores by id."""
    found = np.flatnonzero(scores)
    return found[np.lexsort((found, -scores[found]))][:k]


def same(found: np.ndarray, wanted: np.ndarray, scores: np.ndarray) -> bool:
    """Whether two orders are equal, but for passages whose exact scores differ by rounding alone."""
    if len(found) != len(wanted):
        return False
    return bool(np.all((found == wanted) | (np.abs(scores[found] / scores[wanted] - 1) < NEAR)))


def candidates_needed(
    shard: Candidates, query: LexicalQuery, frequencies: np.ndarray, wanted: np.ndarray
) -> int:
    """How many of tantivy's best hold all of `wanted`, by doubling."""
    limit = len(wanted)
    while limit < MOST_CANDIDATES and not np.isin(wanted, shard.search(query, frequencies, limit).rows).all():
        limit = int(limit * 1.25) + 1
    return limit


def main() -> None:
    """Build, search both ways, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--documents", type=int, help="only the first ones")
    parser.add_argument("--most-queries", type=int, default=300)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--k1", type=float, default=1.2)
    parser.add_argument("--b", type=float, default=0.75)
    args = parser.parse_args()
    analyzer = Analyzer(LexicalSettings())
    began = time.process_time()
    passages = [analyzer.passage(text) for text in islice(documents(args.corpus), args.documents)]
    print(f"{len(passages):,} passages analysed in {time.process_time() - began:.1f} s of CPU")
    with tempfile.TemporaryDirectory() as folder:
        one = Index.build(passages, 1, Path(folder) / "one")
        many = Index.build(passages, args.shards, Path(folder) / "many")
        texts = read_queries(args.queries, args.most_queries)
        queries = [make_query(text, analyzer, one.statistics) for text in texts]
        bm25 = BM25(args.k1, args.b, one.statistics.average_length)
        wanted = {term for query in queries for term in query.terms}
        exhaustive = Exhaustive([passage.words for passage in passages], wanted, args.k1, args.b)
        compare(one, many, [analyzer.query(text).words for text in texts], queries, exhaustive, bm25)


def compare(
    one: Index,
    many: Index,
    terms: list[list[str]],
    queries: list[LexicalQuery],
    exhaustive: Exhaustive,
    bm25: BM25,
) -> None:
    """One table row a depth."""
    print(
        f"{len(queries)} queries; share with the ordered top k of exhaustive BM25, "
        f"1 / {len(many.shards)} shards:"
    )
    print(
        "    k | search        | by candidates | tantivy alone | 1 = many "
        "| needed of 1: 50 % 95 % most | ms a query"
    )
    shard = one.shards[0]
    for k in DEPTHS:
        agreed: dict[str, list[bool]] = defaultdict(list)
        needed, seconds = [], {"1": 0.0, "many": 0.0}
        for own, query in zip(terms, queries, strict=True):
            scores = exhaustive.scores(own)
            exact = top(scores, k)
            found = {}
            for name, index in (("1", one), ("many", many)):
                began = time.thread_time()
                found[name] = index.search(query, k, bm25)
                seconds[name] += time.thread_time() - began
                agreed[f"search {name}"].append(same(found[name], exact, scores))
                pruned = index.search(query, k, bm25, scan_postings=0)
                agreed[f"candidates {name}"].append(same(pruned, exact, scores))
                agreed[f"tantivy {name}"].append(same(index.by_tantivy(query, k), exact, scores))
            agreed["same"].append(np.array_equal(found["1"], found["many"]))
            needed.append(
                candidates_needed(shard.candidates, query, shard.postings.frequencies(query.hashes), exact)
            )
        share = {name: f"{np.mean(values):.3f}" for name, values in agreed.items()}
        pairs = " | ".join(
            f"{share[f'{way} 1']} / {share[f'{way} many']}" for way in ("search", "candidates", "tantivy")
        )
        spread = " ".join(f"{value:7.0f}" for value in np.percentile(needed, [50, 95, 100]))
        milliseconds = " / ".join(f"{1000 * value / len(queries):.2f}" for value in seconds.values())
        print(f"{k:5} | {pairs} | {share['same']}    | {spread}     | {milliseconds}", flush=True)


if __name__ == "__main__":
    main()
