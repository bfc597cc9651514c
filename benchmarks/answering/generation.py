"""Time to first token, tokens/s and answers of local generators, over SQuAD's own paragraphs.

    python benchmarks/answering/generation.py --squad dev.json.gz [--questions 200] [--model NAME ...]

Each prompt has the right paragraph alone: base models read it with two examples, chat models as messages.
Exact match and F1 are SQuAD's, citations taken off; `holds` is the share of answers that contain a gold one.
With several models, each further one is tested against the first over the same questions.
"""

import argparse
import asyncio
import gzip
import json
import random
import re
import time
from pathlib import Path

import numpy as np

from jobs.evaluation.answers.scoring import exact_match, f1
from jobs.evaluation.measuring import randomisation_test
from pipelines.judged import holds_any, sequences_of
from retrieval.format import Passage
from retrieval.generation import CitationFilter, make_prompt
from retrieval.generation.generators import LocalGenerator

_CITED = re.compile(r"\s*\[[\d, ]+\]")


def read_questions(path: Path, count: int) -> list[tuple[str, Passage, list[str]]]:
    """(question, its paragraph, answers), a seeded sample."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    rows = [
        (asked["question"], article["title"].replace("_", " "), paragraph["context"],
         [answer["text"] for answer in asked["answers"]])
        for article in articles for paragraph in article["paragraphs"] for asked in paragraph["qas"]
    ]  # fmt: skip
    return [
        (question, Passage("0#0", "0", title, text, 0, len(text), "", {}), answers)
        for question, title, text, answers in random.Random(0).sample(rows, count)
    ]


async def ask(generator: LocalGenerator, question: str, passage: Passage) -> tuple[str, float, float, int]:
    """Answer, seconds to its first delta, seconds after that, citations."""
    prompt = make_prompt(question, [passage], generator.count_tokens, 1_024)
    checked, text, start, first = CitationFilter(1), "", time.perf_counter(), 0.0
    async for delta in generator.stream(prompt, max_tokens=48, temperature=0, stop=[]):
        first = first or time.perf_counter() - start
        text += checked.feed(delta)
    text += checked.finish()
    return text, first, time.perf_counter() - start - first, len(_CITED.findall(text))


async def measure(generator: LocalGenerator, rows: list[tuple[str, Passage, list[str]]]) -> np.ndarray:
    """Ask, one question after the other, and print. (questions, 2): exact match and F1."""
    await ask(generator, rows[0][0], rows[0][1])  # warm
    firsts, wholes, rates, exact, overlap, holding, cited = [], [], [], [], [], [], 0
    for question, passage, answers in rows:
        text, first, rest, citations = await ask(generator, question, passage)
        plain = _CITED.sub("", text)
        firsts.append(first)
        wholes.append(first + rest)
        if (count := generator.count_tokens(text)) > 1:
            rates.append((count - 1) / rest)
        exact.append(exact_match(plain, answers))
        overlap.append(f1(plain, answers))
        holding.append(holds_any(plain, sequences_of(answers)))
        cited += citations > 0
    late = np.quantile(firsts, 0.95)
    print(f"first token: median {1000 * np.median(firsts):.0f} ms, p95 {1000 * late:.0f} ms")
    print(f"whole answer: median {np.median(wholes):.2f} s; tokens/s after the first {np.median(rates):.1f}")
    share = cited / len(rows)
    print(f"exact match {np.mean(exact):.3f}, F1 {np.mean(overlap):.3f}, holds {np.mean(holding):.3f}")
    print(f"cites by itself {share:.2f}")
    return np.array([exact, overlap], float).T


def main() -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--squad", type=Path, required=True, help="SQuAD 1.1 dev, gzipped JSON")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument(
        "--model", nargs="+", default=[None], help="as generation.model; default: the default"
    )
    args = parser.parse_args()
    rows, first = read_questions(args.squad, args.questions), None
    for name in args.model:
        start = time.perf_counter()
        generator = LocalGenerator.open(name)
        print(f"{generator.name} loaded in {time.perf_counter() - start:.1f} s, {generator.dtype}")
        found = asyncio.run(measure(generator, rows))
        generator.close()
        if first is None:
            first = found
            continue
        for place, measured in enumerate(("exact match", "F1")):
            differences = found[:, place] - first[:, place]
            p = randomisation_test(differences)
            print(f"  {measured} against the first: {differences.mean():+.3f}, p = {p:.2g}")


if __name__ == "__main__":
    main()
