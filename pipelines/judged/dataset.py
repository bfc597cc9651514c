"""Reads what an index is evaluated with: queries, judgements of documents (qrels), answers."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retrieval.errors import ConfigError, InputError

QUERIES = "queries.jsonl"
TEXT_FIELDS = ("text", "question", "query")
ANSWER_FIELDS = ("answers", "answer")
NAMED = 3  # ids named in a message
MOST_GRADE = 1_000_000


@dataclass(frozen=True)
class Query:
    """A question; `answers` are strings of which a passage should hold one."""

    query_id: str
    text: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Queries in the order of their file. `qrels`: relevance by query id and document id; may be empty."""

    name: str
    queries: list[Query]
    qrels: dict[str, dict[str, int]] = field(default_factory=dict)
    split: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def has_answers(self) -> bool:
        """Whether any query carries answers."""
        return any(query.answers for query in self.queries)

    def sample(self, count: int, seed: int = 0) -> "Dataset":
        """`count` queries drawn at random with `seed`, in the order of the file; at most all."""
        if count >= len(self.queries):
            return self
        picked = sorted(random.Random(seed).sample(range(len(self.queries)), count))
        queries = [self.queries[place] for place in picked]
        qrels = {query.query_id: self.qrels[query.query_id] for query in queries if self.qrels}
        return replace(self, queries=queries, qrels=qrels)


def read_beir(folder: Path, split: str = "test") -> Dataset:
    """The judged queries of a split of a folder in BEIR layout: queries.jsonl and qrels/<split>.tsv.

    Raises ConfigError where the folder or the split is missing, InputError for lines that cannot be read.
    """
    queries_file, qrels_file = folder / QUERIES, folder / "qrels" / f"{split}.tsv"
    if not queries_file.is_file():
        raise ConfigError(
            f"{folder} is not a folder in BEIR layout: {queries_file} is missing",
            hint="It holds queries.jsonl and qrels/<split>.tsv. For questions with answers: --queries FILE.",
        )
    if not qrels_file.is_file():
        there = ", ".join(sorted(path.stem for path in (folder / "qrels").glob("*.tsv")))
        raise ConfigError(
            f"{folder} has no split {split}: {qrels_file} is missing",
            hint=f"Splits that are there: {there}." if there else "It has no qrels at all.",
        )
    qrels = _read_qrels(qrels_file)
    queries = [query for query in _read_queries(queries_file) if query.query_id in qrels]
    warnings = []
    absent = sorted(qrels.keys() - {query.query_id for query in queries})
    if not queries:
        raise InputError(
            f"{queries_file} holds none of the {len(qrels):,} queries that {qrels_file} judges, such as "
            f"{absent[0]!r}",
            hint="The two files belong to different collections.",
        )
    if absent:
        warnings.append(
            f"{len(absent):,} judged queries are left out because {QUERIES} lacks them: "
            f"{', '.join(absent[:NAMED])}"
        )
    judged = {query.query_id: qrels[query.query_id] for query in queries}
    return Dataset(folder.resolve().name, queries, judged, split, warnings)


def read_questions(file: Path) -> Dataset:
    """Questions with answers and no judgements: JSONL with `question` (or `text`), `answers`, maybe `_id`.

    Raises ConfigError where the file is missing, InputError for lines that cannot be read or where no
    question has an answer.
    """
    if not file.is_file():
        raise ConfigError(f"there is no file {file}")
    dataset = Dataset(file.stem, list(_read_queries(file)))
    if not dataset.has_answers:
        raise InputError(
            f"{file}: no question has `answers`, so there is nothing to measure",
            hint="For judgements of documents give the folder that holds qrels: --beir FOLDER.",
        )
    return dataset


def _read_queries(file: Path) -> Iterator[Query]:
    seen = set()
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}, line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f"{file}, line {number}: not a JSON object")
        text = next((record[name] for name in TEXT_FIELDS if isinstance(record.get(name), str)), None)
        if text is None:
            raise InputError(f"{file}, line {number}: no text; looked for {', '.join(TEXT_FIELDS)}")
        query_id = str(record.get("_id", record.get("id", number)))
        if query_id in seen:
            raise InputError(f"{file}, line {number}: the query id {query_id!r} occurs twice")
        seen.add(query_id)
        yield Query(query_id, text, _answers(record, f"{file}, line {number}"))
    if not seen:
        raise InputError(f"{file} holds no query")


def _answers(record: dict[str, Any], where: str) -> tuple[str, ...]:
    value: Any = next((record[name] for name in ANSWER_FIELDS if record.get(name) is not None), [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(answer, str) for answer in values):
        raise InputError(f"{where}: `answers` is neither a text nor a list of texts")
    return tuple(dict.fromkeys(values))


def _read_qrels(file: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(file), start=1):
        cells = line.rstrip("\r\n").split("\t")
        if not any(cells):
            continue
        try:
            query_id, doc_id, grade = cells
            relevance = int(grade)
            if abs(relevance) > MOST_GRADE:
                raise ValueError("no measure takes such a grade")
        except ValueError as error:
            if number == 1:  # the header
                continue
            raise InputError(
                f"{file}, line {number}: not query id, document id and a whole number, parted by tabs"
            ) from error
        qrels.setdefault(query_id, {})[doc_id] = relevance
    if not qrels:
        raise InputError(f"{file} holds no judgement")
    return qrels


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as lines:
            yield from lines
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: {error}") from error
