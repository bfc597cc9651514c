"""Questions half of which have no answer: the articles of half of them are taken out of the corpus.

    python benchmarks/answering/left_out.py FOLDER --out OUT [--most 500]

FOLDER is in BEIR layout, its queries have answers, its documents titles, which are those of articles. Writes
OUT/corpus.jsonl, without every second article, and OUT/questions.jsonl: as many questions of articles that
are there as of those that are not, whose `answers` are empty. Then:

    corpusmill build --corpus OUT/corpus.jsonl --index OUT/index
    corpusmill evaluate OUT/index --answers OUT/questions.jsonl
"""

import argparse
import json
import random
from pathlib import Path


def main() -> None:
    """Write corpus and questions."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=500)
    args = parser.parse_args()
    documents = [json.loads(line) for line in (args.folder / "corpus.jsonl").open(encoding="utf-8")]
    titles = {one["_id"]: one.get("title", "") for one in documents}
    articles = sorted(set(titles.values()))
    random.Random(0).shuffle(articles)
    out = set(articles[::2])
    relevant = {}
    for file in sorted((args.folder / "qrels").glob("*.tsv")):
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            query, document, _ = line.split("\t")
            relevant.setdefault(query, document)
    queries = [json.loads(line) for line in (args.folder / "queries.jsonl").open(encoding="utf-8")]
    queries = [one for one in queries if one.get("answers") and one["_id"] in relevant]
    random.Random(1).shuffle(queries)
    chosen: dict[bool, list[dict[str, object]]] = {True: [], False: []}
    for one in queries:
        gone = titles[relevant[one["_id"]]] in out
        if len(chosen[gone]) < args.most // 2:
            answers = [] if gone else one["answers"]
            documents_ = [] if gone else [relevant[one["_id"]]]
            chosen[gone].append(
                {"id": one["_id"], "question": one["text"], "answers": answers, "documents": documents_}
            )
    args.out.mkdir(parents=True, exist_ok=True)
    for name, lines in (
        ("corpus", [one for one in documents if one.get("title", "") not in out]),
        ("questions", [*chosen[False], *chosen[True]]),
    ):
        text = "".join(json.dumps(one) + "\n" for one in lines)
        (args.out / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{len(lines):,} lines in {args.out / name}.jsonl")


if __name__ == "__main__":
    main()
