"""What people have, as queries with what is relevant to them: judgements, answers, clicks, titles."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.judged import Dataset, read_beir, read_questions
from pipelines.parts import read_part
from pipelines.training.settings import ExampleSettings
from retrieval.errors import ConfigError, InputError
from retrieval.format import Manifest
from retrieval.storage import Store

MOST_QUERY_CHARACTERS = 2000
_LEAST_TEXT = 80  # characters of a passage that a title is learnt from


@dataclass(frozen=True)
class Asked:
    """A query, the documents or the passages that are relevant, and answers; one of the three at least.

    `untitled`: the title is the query, so that passages are trained with without theirs.
    """

    query_id: str
    query: str
    documents: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    untitled: bool = False


def read_asked(settings: ExampleSettings, store: Store, manifest: Manifest, split: str) -> list[Asked]:
    """The queries of a split. Raises ConfigError, InputError."""
    if settings.beir is not None:
        found = _of_dataset(read_beir(Path(settings.beir), split))
    elif settings.questions is not None:
        found = _of_dataset(read_questions(Path(settings.questions)))
    elif settings.clicks is not None:
        found = _of_clicks(Path(settings.clicks))
    else:
        found = list(_of_titles(settings, store, manifest))
    if settings.sample is not None and len(found) > settings.sample:
        rows = np.random.default_rng(settings.seed).permutation(len(found))[: settings.sample]
        found = [found[row] for row in sorted(rows.tolist())]
    if not found:
        raise InputError("there is no query to train with", hint="Check the section examples.")
    return found


def _of_dataset(dataset: Dataset) -> list[Asked]:
    found = []
    for query in dataset.queries:
        judged = dataset.qrels.get(query.query_id, {})
        relevant = tuple(doc_id for doc_id, grade in judged.items() if grade > 0)
        if relevant or query.answers:
            found.append(Asked(query.query_id, query.text, relevant, answers=query.answers))
    return found


def _of_clicks(file: Path) -> list[Asked]:
    """Lines with `query` and `passage_id` or `doc_id`; those of one query are one example's positives."""
    if not file.is_file():
        raise ConfigError(f"there is no file {file}")
    documents: dict[str, dict[str, None]] = defaultdict(dict)
    passages: dict[str, dict[str, None]] = defaultdict(dict)
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                query = values["query"]
                kind = passages if values.get("passage_id") is not None else documents
                chosen = values["passage_id"] if kind is passages else values["doc_id"]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(
                    f"{file}, line {number}: not an object with query and passage_id or doc_id"
                ) from error
            if not isinstance(query, str) or not isinstance(chosen, str):
                raise InputError(f"{file}, line {number}: query and passage_id or doc_id are not texts")
            kind[query][chosen] = None
    queries = dict.fromkeys([*documents, *passages])
    return [
        Asked(f"c{number}", query, tuple(documents.get(query, ())), tuple(passages.get(query, ())))
        for number, query in enumerate(queries)
    ]


def _of_titles(settings: ExampleSettings, store: Store, manifest: Manifest) -> Iterator[Asked]:
    """Titles of passages that are drawn over all parts with the seed; one part is in memory at a time."""
    rng = np.random.default_rng(settings.seed)
    wanted = settings.titles or 0
    counts = np.array([part.rows for part in manifest.parts])
    drawn = np.sort(rng.permutation(int(counts.sum()))[: min(3 * wanted, int(counts.sum()))])
    ends = np.cumsum(counts)
    taken = 0
    for number, part in enumerate(manifest.parts):
        rows = drawn[(drawn >= ends[number] - counts[number]) & (drawn < ends[number])]
        if not len(rows) or taken >= wanted:
            continue
        table = read_part(store, part.passages.key, ["doc_id", "passage", "title", "text"], part.rows)
        share = max(1, round(wanted * counts[number] / counts.sum()))
        for row in table.take(rows - (ends[number] - counts[number])).to_pylist():
            title = row["title"].strip()
            if share and len(title) > 3 and len(row["text"]) >= _LEAST_TEXT and title != row["text"]:
                key = f"{row['doc_id']}#{row['passage']}"
                yield Asked(f"t{key}", title[:MOST_QUERY_CHARACTERS], passages=(key,), untitled=True)
                share -= 1
                taken += 1
