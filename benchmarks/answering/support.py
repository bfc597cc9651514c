"""Calibrate and measure which passage answers and whether passages support an answer; the extractive answer.

    python benchmarks/answering/support.py --index INDEX --queries queries.jsonl --qrels test.tsv \\
        [--transfer nq.jsonl]

The index holds SQuAD 1.1 dev (document ids ARTICLE#n, titles of articles). With its paragraph among the k
best a question counts as supported; without that paragraph as unsupported, although others may say the same,
and without its whole article once more, so that both kinds of lack are learnt. Articles are dealt to two
halves: one fits weights and thresholds, the other measures them. The regression tells questions whose best
passage is their own from all others, so that it counts against an answer if it is not clear where it stands;
95 % of what the threshold lets through is of that passage. FITS are weights of a softmax over a question's
passages; the features are computed with those in the code. --transfer: questions of another collection, over
--transfer-index or this one, by the calibrations in the code; they count as supported where a passage holds
an answer's words, which is no proof.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.answering.squad import arguments, holds, read_lines
from retrieval.format import Passage
from retrieval.generation import (
    CALIBRATION,
    FITS,
    Calibration,
    Evidence,
    Judge,
    extract_answer,
    sources,
    support_features,
)
from retrieval.models.encoders import Encoder
from retrieval.search import Searcher
from retrieval.settings import ModelSettings

K = 5
PRECISE = 0.95  # share of answers that are of the question's own passage


def search(index: str, questions: list[str], k: int) -> list[list[Passage]]:
    """Passages of a hybrid search."""
    with Searcher.open(index) as searcher:
        found = searcher.batch(questions, k, mode="hybrid")
        return [list(result.hits) for result in found]


def elsewhere(index: str, questions: list[str], titles: list[str]) -> list[list[Passage]]:
    """K passages of a hybrid search for each question, none with its title."""
    with Searcher.open(index) as searcher:
        return [
            list(searcher(question, K, filter={"field": "title", "op": "!=", "value": title}))
            for question, title in zip(questions, titles, strict=True)
        ]


def measured_sets(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], list[Passage], bool]]:
    """(question, passages, supported): with its paragraph, without it, without its article."""
    lines = [line.split("\t") for line in args.qrels.read_text(encoding="utf-8").splitlines()[1:]]
    paragraph = {line[0]: line[1] for line in lines}
    questions = read_lines(args.queries, args.sample)
    texts = [question["text"] for question in questions]
    found = search(args.index, texts, 2 * K + 2)
    articles = [paragraph[question["_id"]].rsplit("#", 1)[0].replace("_", " ") for question in questions]
    others = elsewhere(args.index, texts, articles)
    for question, passages, other in zip(questions, found, others, strict=True):
        question["paragraph"] = gold = paragraph[question["_id"]]
        with_it = passages[:K]
        if any(p.doc_id == gold and holds(p.text, question["answers"]) for p in with_it):
            yield question, with_it, True
        yield question, [p for p in passages if p.doc_id != gold][:K], False
        yield question, other, False


def fit(
    values: np.ndarray, labels: np.ndarray, half: np.ndarray, right: np.ndarray | None = None
) -> Calibration:
    """Weights and threshold of one half, precision of the other.

    right: what the regression tells from the rest, and PRECISE of what the threshold lets through; without,
    the labels do, and the threshold has the best mean of recall and refusals.
    """
    spread = values[half].std(axis=0)
    learnt = labels if right is None else right
    model = LogisticRegression(class_weight="balanced").fit(values[half] / spread, learnt[half])
    weights, bias = model.coef_[0] / spread, float(model.intercept_[0])
    chances = 1 / (1 + np.exp(-(values @ weights + bias)))

    def rates(threshold: float, rows: np.ndarray) -> tuple[float, float]:
        called = chances[rows] >= threshold
        return float(called[labels[rows]].mean()), float((~called[~labels[rows]]).mean())

    grid = np.linspace(0.05, 0.95, 91)
    threshold = float(grid[np.argmax([sum(rates(value, half)) for value in grid])])
    if right is not None:
        let_through = [right[labels & half & (chances >= value)].mean() for value in grid]
        threshold = float(grid[int(np.argmax(np.array(let_through) >= PRECISE))])
    recall, refused = rates(threshold, ~half)
    precision = recall / (recall + 1 - refused)  # at even odds
    rounded = tuple(round(float(weight), 3) for weight in weights)
    figures = (round(value, 3) for value in (precision, recall, refused))
    return Calibration(rounded, round(bias, 3), round(threshold, 2), *figures)


def by_cosine(encoder: Encoder, evidence: Evidence) -> list[str]:
    """Sentences by the cosine of sentence vectors, best first."""
    texts = [evidence.text_of(sentence) for sentence in evidence.sentences]
    titles = [evidence.passages[sentence.passage].title for sentence in evidence.sentences]
    scores = encoder.encode_passages(titles, texts) @ encoder.encode_queries([evidence.question])[0]
    return [texts[place] for place in np.argsort(-scores)]


def containment(encoder: Encoder, evidence: Evidence, answers: list[str]) -> dict[str, float]:
    """Whether the first sentences, and the extractive answer, hold an answer; how long that one is."""
    best = np.argsort(-evidence.scores, kind="stable").tolist()
    orders = {
        "MaxSim": [evidence.text_of(evidence.sentences[place]) for place in best],
        "cosine": by_cosine(encoder, evidence),
    }
    found = {
        f"{name}, best {most}: holds the answer": float(holds("\n".join(texts[:most]), answers))
        for name, texts in orders.items()
        for most in (1, 2, 3)
    }
    extracted = extract_answer(evidence, sources(evidence))
    found["extractive answer: holds the answer"] = float(holds(extracted.text, answers))
    return found | {"extractive answer: sentences": float(len(extracted.sentences))}


def main() -> None:
    """Measure, print."""
    parser = arguments(__doc__, 1000)
    parser.add_argument("--transfer", type=Path, help="JSONL with question and answers")
    parser.add_argument("--transfer-index")
    parser.add_argument("--keep", type=Path, help="write the features there, to look at them")
    args = parser.parse_args()
    judge, encoder = Judge.open(), Encoder.open(ModelSettings())
    rows, labels, right, articles, chance, contained = [], [], [], [], [], []
    told: list[tuple[np.ndarray, int]] = []
    told_half: list[str] = []
    times: dict[str, list[float]] = {"reading the passages": [], "features": []}
    for question, passages, supported in measured_sets(args):
        start = time.perf_counter()
        evidence = judge.read(question["text"], passages)
        read = time.perf_counter()
        found = sources(evidence)
        rows.append(support_features(evidence, found))
        times["reading the passages"].append(read - start)
        times["features"].append(time.perf_counter() - read)
        labels.append(supported)
        own = [passages[source.passage].doc_id == question["paragraph"] for source in found]
        right.append(own[0])
        if supported and any(own):
            told.append((np.array([(evidence.scores[s.sentence], s.read) for s in found]), own.index(True)))
            told_half.append(question["paragraph"].rsplit("#", 1)[0])
        articles.append(question["paragraph"].rsplit("#", 1)[0])
        chance.append(not supported and any(holds(p.text, question["answers"]) for p in passages))
        if supported:
            contained.append(containment(encoder, evidence, question["answers"]))
    names = sorted(set(articles))
    half = np.array([names.index(article) % 2 == 0 for article in articles])
    own_half = np.array([names.index(article) % 2 == 0 for article in told_half])
    report_fits(told, own_half)
    report(np.array(rows), np.array(labels), half, np.array(chance), np.array(right))
    if args.keep:
        np.savez(args.keep, values=rows, labels=labels, half=half, right=right, chance=chance)
    for name, seconds in times.items():
        print(f"{name}: median {1000 * np.median(seconds):.0f} ms a question")
    for name in contained[0]:
        print(f"{name} {np.mean([found[name] for found in contained]):.3f}")
    if args.transfer:
        transfer(args, judge)


def report_fits(told: list[tuple[np.ndarray, int]], half: np.ndarray) -> None:
    """How often the question's own passage comes first: by the weights in the code, and fitted ones."""
    weights = torch.zeros(2, requires_grad=True)
    data = [(torch.tensor(x, dtype=torch.float32), y) for (x, y), own in zip(told, half, strict=True) if own]
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = [torch.nn.functional.cross_entropy((x @ weights)[None], torch.tensor([y])) for x, y in data]
        loss = torch.stack(losses).mean()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    found = tuple(round(float(weight), 2) for weight in weights.detach())
    print(f"FITS = {found}; in the code: {FITS}")
    for name, own in (
        ("MaxSim alone", (1, 0)),
        ("cross-encoder alone", (0, 1)),
        ("fitted", found),
        ("FITS", FITS),
    ):
        first = [
            int(np.argmax(x @ np.array(own))) == y
            for (x, y), fits in zip(told, half, strict=True)
            if not fits
        ]
        print(f"  {name:<20} held-out: the question's passage is first {np.mean(first):.3f} of {len(first)}")


def report(
    values: np.ndarray, truth: np.ndarray, half: np.ndarray, chance: np.ndarray, right: np.ndarray
) -> None:
    """The calibration found beside the one in the code."""
    print(f"{truth.sum()} supported, {(~truth).sum()} not, of which {chance.sum()} hold the answer's words")
    for place, name in enumerate(("best sentence's MaxSim", "largest cosine", "cross-encoder", "lead")):
        print(f"{name:<24} alone: AUC {roc_auc_score(truth[~half], values[~half, place]):.3f}")
    found = fit(values, truth, half, right)
    chances = values @ np.array(found.weights)
    strict = ~half & ~chance
    # The sets follow each other: without the paragraph, then without the article.
    absent = np.flatnonzero(~truth)
    for name, own in (("paragraph", absent[::2]), ("article", absent[1::2])):
        rows = np.concatenate([np.flatnonzero(truth & ~half), own[~half[own]]])
        for told, score in (("found", chances), ("in the code", values @ np.array(CALIBRATION.weights))):
            print(f"without the {name}, {told}: held-out AUC {roc_auc_score(truth[rows], score[rows]):.3f}")
    print(f"CALIBRATION = {found}")
    for name, one in (("found", found), ("in the code", CALIBRATION)):
        called = np.array([one.probability(row) for row in values]) >= one.threshold
        for part, rows in (("fitted", half), ("held-out", ~half)):
            answered = called & rows & truth
            print(
                f"  {name}, {part}: answers {called[rows & truth].mean():.3f} of the supported, the best "
                f"passage is the question's in {right[answered].mean():.3f} of these; refuses "
                f"{(~called[rows & ~truth]).mean():.3f} of the others"
            )
    print(
        f"  held-out AUC {roc_auc_score(truth[~half], chances[~half]):.3f}, without passages that hold "
        f"the answer's words {roc_auc_score(truth[strict], chances[strict]):.3f}; in the code: {CALIBRATION}"
    )


def transfer(args: argparse.Namespace, judge: Judge) -> None:
    """What the calibration in the code does with questions of another collection."""
    rows = read_lines(args.transfer, args.sample // 2)
    found = search(args.transfer_index or args.index, [row["question"] for row in rows], K)
    labels = np.array(
        [
            any(holds(passage.text, row["answers"]) for passage in passages)
            for row, passages in zip(rows, found, strict=True)
        ]
    )
    values = np.array(
        [
            support_features(evidence, sources(evidence))
            for row, passages in zip(rows, found, strict=True)
            for evidence in [judge.read(row["question"], passages)]
        ]
    )
    chances = np.array([CALIBRATION.probability(row) for row in values])
    called = chances >= CALIBRATION.threshold
    ranks = f"AUC {roc_auc_score(labels, chances):.3f}, " if 0 < labels.sum() < len(labels) else ""
    print(
        f"{args.transfer.name}: {ranks}answers {called[labels].mean():.3f} of {labels.sum()} "
        f"supported, refuses {(~called[~labels]).mean():.3f} of {(~labels).sum()} others"
    )


if __name__ == "__main__":
    main()
