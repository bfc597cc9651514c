"""Run and qrels files in TREC format, written so that trec_eval ranks and measures them as we do.

trec_eval holds scores as 32-bit floats, orders a query's documents by them, and equal ones by descending
document id. Scores are therefore written as strictly decreasing 32-bit floats. White space and control
characters in an id, which the format cannot hold, are written as %20 and the like, and so is % itself.
`trec_eval -c -m ndcg_cut.10 qrels.txt hybrid.txt` gives the figures of the report (-c: a query without
results counts 0).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np

QRELS = "qrels.txt"
EMPTY = "%"  # an id without a letter; a column cannot be empty
_NO_WORD = re.compile(r"[\s\x00-\x1f\x7f-\x9f%]")

Run = dict[str, dict[str, float]]  # score by query id and document id, best first, strictly decreasing


def strictly_decreasing(scores: Iterable[float]) -> list[float]:
    """Scores, descending, as 32-bit floats of which each is below the one before by as little as possible."""
    found: list[float] = []
    limit = np.float32(np.inf)
    for score in scores:
        value = min(np.float32(score), np.nextafter(limit, np.float32(-np.inf)))
        found.append(float(value))
        limit = value
    return found


def write_run(path: Path, run: Run, tag: str) -> None:
    """A line for every document: query id, Q0, document id, rank from 1, score, tag."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for query_id, documents in run.items():
            for rank, (doc_id, score) in enumerate(documents.items(), start=1):
                file.write(f"{_word(query_id)} Q0 {_word(doc_id)} {rank} {score:.9g} {tag}\n")


def write_qrels(path: Path, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """A line for every judgement: query id, 0, document id, relevance."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for query_id, documents in qrels.items():
            for doc_id, relevance in documents.items():
                file.write(f"{_word(query_id)} 0 {_word(doc_id)} {relevance}\n")


def _word(text: str) -> str:
    return _NO_WORD.sub(lambda space: quote(space.group()), text) or EMPTY
