"""Queries that a search is tuned with: of a file, or sentences drawn from passages."""

import json

import fsspec
import numpy as np

from retrieval.errors import ConfigError
from retrieval.storage import storage_errors
from retrieval.text import sentences

SENTENCE_WORDS = (4, 40)  # a query is neither a heading nor a table
MAX_QUERY_CHARACTERS = 2000


def read_queries(path: str, most: int) -> list[str]:
    """Queries of a file or URL: JSONL with `text`, or one a line. Raises ConfigError if it cannot be used."""
    try:
        with storage_errors(path), fsspec.open(path, "rt", encoding="utf-8") as file:
            lines = [line.strip() for _, line in zip(range(most * 2), file, strict=False) if line.strip()]
        texts = [json.loads(line)["text"] if line.startswith("{") else line for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"dense.query_file {path} cannot be read: {error!r}",
            hint='Give JSONL with a "text" in every line, or one query a line, in UTF-8.',
        ) from error
    texts = [text[:MAX_QUERY_CHARACTERS] for text in texts if isinstance(text, str) and text.strip()][:most]
    if not texts:
        raise ConfigError(f"dense.query_file {path} holds no queries")
    return texts


def draw_queries(
    titles: list[str], texts: list[str], wanted: int, rng: np.random.Generator
) -> tuple[list[str], list[int]]:
    """Single sentences of random passages, and which these are; at most `wanted`, none a whole passage."""
    drawn = []
    rows = rng.permutation(len(texts))[:wanted].tolist()
    for row in rows:
        spans = sentences(texts[row])
        found = [texts[row][start:end].strip() for start, end in spans]
        fitting = [text for text in found if SENTENCE_WORDS[0] <= len(text.split()) <= SENTENCE_WORDS[1]]
        words = (fitting[int(rng.integers(len(fitting)))] if fitting else texts[row]).split()
        if len(spans) < 2 and not titles[row]:
            words = words[: max(1, len(words) // 2)]  # the whole passage would be a corpus vector
        drawn.append(" ".join(words[: SENTENCE_WORDS[1]])[:MAX_QUERY_CHARACTERS])
    return drawn, rows
