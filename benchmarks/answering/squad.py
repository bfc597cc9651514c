"""What scripts over SQuAD's questions share: arguments, the questions, whether a text holds an answer."""

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

WORD = re.compile(r"[^\W_]+")


def normalized(text: str) -> str:
    """Lower case, words only, with a space at both ends."""
    return f" {' '.join(WORD.findall(text.lower()))} "


def holds(text: str, answers: list[str]) -> bool:
    """Whether a text contains one of the answers."""
    return any(normalized(answer) in normalized(text) for answer in answers)


def arguments(description: str | None, sample: int) -> argparse.ArgumentParser:
    """What every script over SQuAD's questions is told."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--qrels", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=sample)
    return parser


def read_lines(path: Path, sample: int) -> list[dict[str, Any]]:
    """A seeded sample of a JSONL file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    return rows[:sample]
