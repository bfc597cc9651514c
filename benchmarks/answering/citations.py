"""Citations of answers on SQuAD against the paragraph of the question: precision, recall, share answered.

    python benchmarks/answering/citations.py --index INDEX --queries queries.jsonl --qrels test.tsv \\
        [--half fitted|held-out|all] [--sample 600] [--generator local] [--without]

The index holds SQuAD 1.1 dev (document ids ARTICLE#n); answers are made as `corpusmill ask` makes them, with
its defaults. A citation is right where its document is the question's paragraph, although others may say the
same. Recall: share of all questions, unanswered ones too, whose paragraph is cited. The halves of articles
are those of support.py, which fits weights on the first. --without: the paragraph is filtered out, so that an
answer is wrong to be given.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.answering.squad import arguments, holds, read_lines
from jobs.commands.ask import Asking
from retrieval.generation import GenerationSettings
from retrieval.results import Answer
from retrieval.search import Searcher


def questions_of(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A seeded sample, each with its paragraph, of the articles of one half or of all."""
    lines = [line.split("\t") for line in args.qrels.read_text(encoding="utf-8").splitlines()[1:]]
    paragraph = {line[0]: line[1] for line in lines}
    names = sorted({doc_id.rsplit("#", 1)[0] for doc_id in paragraph.values()})
    wanted = {"fitted": (0,), "held-out": (1,), "all": (0, 1)}[args.half]
    found = []
    for question in read_lines(args.queries, 10**9):
        question["paragraph"] = paragraph[question["_id"]]
        if names.index(question["paragraph"].rsplit("#", 1)[0]) % 2 in wanted:
            found.append(question)
    return found[: args.sample]


async def answers_of(asking: Asking, questions: list[dict[str, Any]], without: bool) -> list[Answer]:
    """One after the other."""
    found = []
    for question in questions:
        own = {"filter": f"document.doc_id != {json.dumps(question['paragraph'])}"} if without else {}
        found.append(await asking.ask(question["text"], **own))
    return found


def report(questions: list[dict[str, Any]], found: list[Answer], seconds: float) -> None:
    """Print the figures."""
    pairs = list(zip(questions, found, strict=True))
    answered = [(q, a) for q, a in pairs if a.supported]
    cited = [({c.doc_id for c in a.citations}, q["paragraph"]) for q, a in answered]
    right = np.array([gold in docs for docs, gold in cited])
    counts = np.array([len(docs) for docs, _ in cited])
    some = counts > 0
    print(f"{len(found)} questions, {len(answered) / len(found):.3f} answered, {some.sum()} with citations")
    if some.any():
        print(
            f"citation precision {right.sum() / counts.sum():.3f} by citation, "
            f"{np.mean(right[some] / counts[some]):.3f} by answer; {counts.mean():.2f} documents an answer"
        )
    print(f"citation recall {right.sum() / len(found):.3f} of all, {right.mean():.3f} of the answered")
    held = np.mean([holds(a.answer, q["answers"]) for q, a in answered])
    size = np.mean([len(a.answer) for _, a in answered])
    print(f"the answer holds SQuAD's in {held:.3f} of the answered; {size:.0f} characters")
    claims = [claim for _, a in answered for claim in getattr(a, "claims", ())]
    if claims and not all(a.extractive for _, a in answered):
        marked = np.mean([not claim.supported for claim in claims])
        counted = [
            sum(getattr(a, name) for _, a in answered) for name in ("moved_citations", "removed_citations")
        ]
        print(
            f"{len(claims)} claims, {marked:.3f} marked; citations moved {counted[0]}, removed {counted[1]}"
        )
    print(f"{1000 * seconds / len(found):.0f} ms a question")


def main() -> None:
    """Ask, print."""
    parser = arguments(__doc__, 600)
    parser.add_argument("--half", choices=("fitted", "held-out", "all"), default="held-out")
    parser.add_argument("--generator", default="none", help="none or local")
    parser.add_argument("--without", action="store_true", help="filter the question's paragraph out")
    args = parser.parse_args()
    questions = questions_of(args)
    with Searcher.open(args.index) as searcher:
        asking = Asking(searcher, GenerationSettings(kind=args.generator))
        asyncio.run(asking.ask(questions[0]["text"]))  # warm
        start = time.perf_counter()
        found = asyncio.run(answers_of(asking, questions, args.without))
    report(questions, found, time.perf_counter() - start)


if __name__ == "__main__":
    main()
