"""A smaller corpus for judged questions: what they are judged by, and a seeded share of the rest.

    python benchmarks/answering/pool.py FOLDER CORPUS [CORPUS ...] --out pool.jsonl [--share 0.05]

FOLDER is in BEIR layout; CORPUS is Parquet or JSONL (also .gz) with `_id`, `title`, `text`. Where ids are
`article#number`, the first paragraph of each judged article is taken too, and the share is of first
paragraphs.
"""

import argparse
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a file."""
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
        return
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        yield from map(json.loads, file)


def main() -> None:
    """Write the pool."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("corpus", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.05)
    args = parser.parse_args()
    judged = {
        line.split("\t")[1]
        for file in sorted((args.folder / "qrels").glob("*.tsv"))
        for line in file.read_text(encoding="utf-8").splitlines()[1:]
    }
    judged |= {f"{one.split('#')[0]}#0" for one in judged if "#" in one}
    drawn, count = random.Random(0), 0
    with args.out.open("w", encoding="utf-8") as out:
        for path in sorted(args.corpus):
            for row in rows(path):
                first = row["_id"].endswith("#0") or "#" not in row["_id"]
                if row["_id"] in judged or (first and drawn.random() < args.share):
                    out.write(json.dumps({name: row[name] for name in ("_id", "title", "text")}) + "\n")
                    count += 1
    print(f"{count:,} documents are in {args.out}")


if __name__ == "__main__":
    main()
