"""Time to first token, tokens/s and answers of the default local generator, over SQuAD's own paragraphs.

    python benchmarks/answers/generation.py --squad dev.json.gz [--questions 60]

Each prompt has the right paragraph alone. Exact match and F1 are SQuAD's, citations taken off.
"""

import argparse
import asyncio
import gzip
import json
import random
import re
import string
import time
from collections import Counter
from pathlib import Path

import numpy as np

from retrieval.format import Passage
from retrieval.generation import CitationFilter, make_prompt
from retrieval.generation.generators import LocalGenerator

_CITED = re.compile(r"\s*\[[\d, ]+\]")


def words(text: str) -> list[str]:
    """SQuAD's normalisation: lower case, no punctuation, no articles."""
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall over words."""
    have, want = words(answer), words(gold)
    same = sum((Counter(have) & Counter(want)).values())
    return 2 * same / (len(have) + len(want)) if same else 0.0


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


async def measure(generator: LocalGenerator, rows: list[tuple[str, Passage, list[str]]]) -> None:
    """Ask, one question after the other, and print."""
    await ask(generator, rows[0][0], rows[0][1])  # warm
    firsts, rates, exact, overlap, cited = [], [], [], [], 0
    for question, passage, answers in rows:
        text, first, rest, citations = await ask(generator, question, passage)
        plain = _CITED.sub("", text)
        firsts.append(first)
        if (count := generator.count_tokens(text)) > 1:
            rates.append((count - 1) / rest)
        exact.append(any(words(plain) == words(gold) for gold in answers))
        overlap.append(max(f1(plain, gold) for gold in answers))
        cited += citations > 0
    late = np.quantile(firsts, 0.95)
    print(f"first token: median {1000 * np.median(firsts):.0f} ms, p95 {1000 * late:.0f} ms")
    print(f"tokens/s after it: median {np.median(rates):.1f}")
    share = cited / len(rows)
    print(f"exact match {np.mean(exact):.3f}, F1 {np.mean(overlap):.3f}, cites by itself {share:.2f}")


def main() -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--squad", type=Path, required=True, help="SQuAD 1.1 dev, gzipped JSON")
    parser.add_argument("--questions", type=int, default=60)
    args = parser.parse_args()
    start = time.perf_counter()
    generator = LocalGenerator.open()
    print(f"{generator.name} loaded in {time.perf_counter() - start:.1f} s, {generator.dtype}")
    asyncio.run(measure(generator, read_questions(args.squad, args.questions)))
    generator.close()


if __name__ == "__main__":
    main()
