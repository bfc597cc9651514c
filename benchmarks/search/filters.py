"""Filters: recall@10 of filtered dense search against exact search under the same filter, and its time.

The filters keep ranges of document ids, which is no random sample: what they keep lies together, or far
from a query, as it does in practice. The first row is without a filter.

    python benchmarks/search/filters.py --index INDEX --queries QUERIES.jsonl
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from retrieval.search import Searcher

SHARES = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)
K = 10


def queries_of(path: Path, most: int) -> list[str]:
    """Texts of the first queries of a JSONL file with `text` or `question`."""
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for _, line in zip(range(most), lines, strict=False)]
    return [record.get("text") or record["question"] for record in records]


def filters_of(search: Searcher) -> list[str | None]:
    """Filters by document id that keep about each of the shares."""
    ids = np.arange(0, search.manifest.passages, max(1, search.manifest.passages // 20_000))
    names = sorted(search.doc_ids(ids).values())
    found: list[str | None] = [None]
    for share in SHARES:
        first = len(names) // 3
        last = names[min(len(names) - 1, first + max(1, int(share * len(names))))]
        found.append(f"doc_id >= {json.dumps(names[first])} and doc_id < {json.dumps(last)}")
    return found


def main() -> None:
    """Parse arguments, search under every filter, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--most", type=int, default=500, help="queries")
    options = parser.parse_args()
    texts = queries_of(options.queries, options.most)
    with Searcher.open(options.index) as search:
        print(f"{search.manifest.passages:,} passages, {len(texts)} queries, {search.manifest.dense_reason}")
        vectors = search.encode(texts)
        print("kept        recall@10  full lists  ms a query (batch)  ms a query (alone)  lexical, alone")
        for chosen in filters_of(search):
            exact = search.rank(texts, K, mode="dense", filter=chosen, exact=True, vectors=vectors).ids
            began = time.perf_counter()
            found = search.rank(texts, K, mode="dense", filter=chosen, vectors=vectors).ids
            batch = (time.perf_counter() - began) / len(texts)
            alone = {}
            for mode in ("dense", "lexical"):
                began = time.perf_counter()
                for number in range(50):
                    one = slice(number, number + 1)
                    search.rank(texts[one], K, mode=mode, filter=chosen, vectors=vectors[one])
                alone[mode] = (time.perf_counter() - began) / 50
            pairs = zip(exact, found, strict=True)
            hits = sum(len(set(wanted[wanted >= 0]) & set(got)) for wanted, got in pairs)
            recall = hits / max(1, int((exact >= 0).sum()))
            kept = search(texts[0], 1, mode="dense", filter=chosen).matching if chosen else None
            share = 1.0 if kept is None else kept / search.manifest.passages
            full = float(((found >= 0).sum(axis=1) == (exact >= 0).sum(axis=1)).mean())
            print(
                f"{share:8.2%} {recall:12.4f} {full:11.1%} {1000 * batch:19.2f} "
                f"{1000 * alone['dense']:19.2f} {1000 * alone['lexical']:15.2f}"
            )


if __name__ == "__main__":
    main()
