"""Composes questions of two hops from questions with subject, relation and answers, as EntityQuestions has.

    python benchmarks/answering/two_hops.py FOLDER --out questions.jsonl [--most 300]

FOLDER is in BEIR layout; its queries have `subject` and `relation`. Where the answer to one question is the
subject of another, the subject of the second is said by the first: "Where was George Orwell born?" becomes
"Where was the author of Animal Farm born?". Each line has the answers and, as `documents`, the articles of
both (all their paragraphs, `article#*`); it is left out where both are one. Then:

    corpusmill evaluate INDEX --answers questions.jsonl --k 10 --runs one
    corpusmill evaluate INDEX --answers questions.jsonl --k 5 --hops 2 --runs two --against one/prompt.jsonl
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# By Wikidata's properties, as the relations are named.
SAID = {
    "P50": "the author of {}", "P40": "the child of {}", "P26": "the spouse of {}",
    "P176": "the producer of {}", "P170": "the creator of {}", "P112": "the founder of {}",
    "P36": "the capital of {}", "P800": "the best known work of {}",
    "P740": "the place where {} was founded", "P17": "the country where {} is located",
    "P159": "the town of the headquarters of {}", "P264": "the music label of {}",
    "P19": "the birthplace of {}", "P20": "the place where {} died", "P407": "the language of {}",
    "P69": "the place where {} was educated", "P131": "the place where {} lies", "P127": "the owner of {}",
    "P136": "the genre of {}", "P175": "the performer of {}", "P495": "the country that {} comes from",
    "P276": "the location of {}",
}  # fmt: skip


def judged(folder: Path) -> dict[str, list[str]]:
    """Relevant documents by query, of all splits."""
    found = defaultdict(list)
    for file in sorted((folder / "qrels").glob("*.tsv")):
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            query, document, grade = line.split("\t")
            if int(grade) > 0:
                found[query].append(document)
    return found


def article(document: str) -> str:
    """Of a document that is a paragraph of one: what stands in front of its number."""
    return document.rsplit("#", 1)[0]


def composed(queries: list[dict[str, Any]], relevant: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Pairs of questions whose answers lie in different articles."""
    about = defaultdict(list)
    for query in queries:
        about[query["subject"].casefold()].append(query)
    for first in queries:
        for answer in dict.fromkeys(first["answers"]):
            for second in about[answer.casefold()]:
                own, other = relevant.get(first["_id"], []), relevant.get(second["_id"], [])
                taken = {one.casefold() for one in (first["subject"], answer)}
                if (
                    first["relation"] not in SAID
                    or second["subject"] == first["subject"]
                    or second["subject"] not in second["text"]
                    or taken & {one.casefold() for one in second["answers"]}
                    or not own
                    or not other
                    or {article(one) for one in own} & {article(one) for one in other}
                ):
                    continue
                said = SAID[first["relation"]].format(first["subject"])
                yield {
                    "id": f"{first['_id']}+{second['_id']}",
                    "question": second["text"].replace(second["subject"], said),
                    "answers": second["answers"],
                    "documents": [f"{article(one[0])}#*" for one in (own, other)],
                }  # fmt: skip


def main() -> None:
    """Write the questions."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=300)
    args = parser.parse_args()
    lines = (args.folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    found = list(
        {one["id"]: one for one in composed([*map(json.loads, lines)], judged(args.folder))}.values()
    )
    random.Random(0).shuffle(found)
    with args.out.open("w", encoding="utf-8") as file:
        for one in found[: args.most]:
            file.write(json.dumps(one) + "\n")
    print(f"{min(args.most, len(found))} of {len(found)} questions are in {args.out}")


if __name__ == "__main__":
    main()
