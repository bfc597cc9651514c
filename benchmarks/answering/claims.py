"""Calibrate and measure what decides whether a passage says a claim.

    python benchmarks/answering/claims.py --index INDEX --queries queries.jsonl --qrels test.tsv
        [--sample 400]

The index holds SQuAD 1.1 dev (document ids ARTICLE#n). A claim is made of a question and an answer in three
forms: the answer alone, as small models write it; question and answer; and the sentence of the paragraph that
holds it. A passage says it where it is the question's paragraph and the answer right; it does not where the
passage is another of those found that does not hold the answer's words, or the answer is that of another
question on the same paragraph. Articles are dealt to two halves: one fits weights and the threshold, the
other measures them.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.answering.squad import arguments, holds, read_lines
from benchmarks.answering.support import fit, search
from retrieval.format import Passage
from retrieval.generation import Judge
from retrieval.generation.claims import CALIBRATION, ClaimEvidence, Verifier
from retrieval.text import sentences

K = 5
FORMS = ("answer", "question and answer", "sentence")
NAMES = ("new words held", "new words in the sentence", "similarity", "cross-encoder")


def claims(question: str, answer: str, right: str, paragraph: str) -> Iterator[tuple[str, str]]:
    """(form, claim) with `answer`; the sentence is that of the right answer, which `answer` replaces."""
    yield FORMS[0], answer
    yield FORMS[1], f"{question.rstrip(' ?')}: {answer}."
    for start, end in sentences(paragraph):
        if right in paragraph[start:end]:
            yield FORMS[2], paragraph[start:end].replace(right, answer)
            return


def wrong_answers(questions: list[dict[str, Any]], paragraphs: dict[str, str]) -> dict[str, list[str]]:
    """Of each question, answers of others on its paragraph that are not part of its own."""
    by_paragraph: dict[str, list[dict[str, Any]]] = {}
    for question in questions:
        by_paragraph.setdefault(paragraphs[question["_id"]], []).append(question)
    found: dict[str, list[str]] = {}
    for group in by_paragraph.values():
        for question in group:
            own = question["answers"]
            others = [other["answers"][0] for other in group if other is not question]
            found[question["_id"]] = [
                other
                for other in others
                if not holds(other, own) and not any(holds(one, [other]) for one in own)
            ]
    return found


def cases(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], list[Passage], list[str]]]:
    """(question, the passages found, wrong answers) where the question's paragraph is found."""
    lines = [line.split("\t") for line in args.qrels.read_text(encoding="utf-8").splitlines()[1:]]
    paragraph = {line[0]: line[1] for line in lines}
    everything = read_lines(args.queries, 10**9)
    wrong = wrong_answers(everything, paragraph)
    questions = everything[: args.sample]
    found = search(args.index, [question["text"] for question in questions], K)
    for question, passages in zip(questions, found, strict=True):
        question["paragraph"] = paragraph[question["_id"]]
        if any(p.doc_id == question["paragraph"] for p in passages):
            yield question, passages, wrong[question["_id"]]


def rows_of(
    judge: Judge, question: dict[str, Any], passages: list[Passage], wrong: list[str]
) -> Iterator[tuple[np.ndarray, bool, str, str]]:
    """(features, whether the passage says it, form, which kind of case)."""
    verifier = Verifier(judge.read(question["text"], passages), range(len(passages)))
    gold = next(n for n, p in enumerate(passages, 1) if p.doc_id == question["paragraph"])
    right, text = question["answers"][0], passages[gold - 1].text
    others = [
        number for number, passage in enumerate(passages, 1)
        if number != gold and not holds(passage.text, question["answers"])
    ]  # fmt: skip
    false = random.Random(question["_id"]).choice(wrong) if wrong else None
    for form, claim in claims(question["text"], right, right, text):
        groups = [(gold,), *((number,) for number in others[:2])]
        values = ClaimEvidence(verifier, claim).features(groups)
        for group, value in zip(groups, values, strict=True):
            yield value, group == (gold,), form, "right" if group == (gold,) else "another passage"
    for form, claim in claims(question["text"], false, right, text) if false else ():
        yield ClaimEvidence(verifier, claim).features([(gold,)])[0], False, form, "wrong answer"


def main() -> None:
    """Measure, print."""
    parser = arguments(__doc__, 400)
    parser.add_argument("--keep", type=Path, help="write the features there, to look at them")
    args = parser.parse_args()
    judge = Judge.open()
    values, labels, forms, kinds, articles, seconds = [], [], [], [], [], []
    for question, passages, wrong in cases(args):
        start = time.perf_counter()
        found = list(rows_of(judge, question, passages, wrong))
        seconds.append((time.perf_counter() - start) / len(found))
        for value, label, form, kind in found:
            values.append(value)
            labels.append(label)
            forms.append(form)
            kinds.append(kind)
            articles.append(question["paragraph"].rsplit("#", 1)[0])
    names = sorted(set(articles))
    half = np.array([names.index(article) % 2 == 0 for article in articles])
    if args.keep:
        np.savez(args.keep, values=values, labels=labels, forms=forms, kinds=kinds, half=half)
    report(np.array(values), np.array(labels), half, np.array(forms), np.array(kinds))
    print(f"median {1000 * np.median(seconds):.0f} ms for a claim and a passage, reading included")


def report(
    values: np.ndarray, truth: np.ndarray, half: np.ndarray, forms: np.ndarray, kinds: np.ndarray
) -> None:
    """The calibration found beside the one in the code, and what it does by form and kind."""
    print(f"{truth.sum()} said, {(~truth).sum()} not")
    for place, name in enumerate(NAMES):
        print(f"{name:<26} alone: AUC {roc_auc_score(truth[~half], values[~half, place]):.3f}")
    found = fit(values, truth, half)
    chances = 1 / (1 + np.exp(-(values @ np.array(found.weights) + found.bias)))
    print(f"CALIBRATION = {found}")
    print(f"  held-out AUC {roc_auc_score(truth[~half], chances[~half]):.3f}; in the code: {CALIBRATION}")
    for form in FORMS:
        for kind in np.unique(kinds):
            rows = ~half & (forms == form) & (kinds == kind)
            called = (chances[rows] >= found.threshold).mean() if rows.any() else float("nan")
            print(f"  {form:<20} {kind:<16} {rows.sum():>5} called said: {called:.3f}")


if __name__ == "__main__":
    main()
