"""Questions about documents of `make_documents`, and who answers them, as a folder in BEIR layout."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from jobs.cli import app
from tests.conftest import TOPICS, write_jsonl


def question(number: int, query_id: str) -> dict[str, Any]:
    """A query that the document of this number answers, by its year."""
    text = f"Which {TOPICS[number % len(TOPICS)]} were seen in {1500 + number}?"
    return {"_id": query_id, "text": text}


def write_questions(folder: Path, judged: Iterable[tuple[Mapping[str, Any], int]]) -> Path:
    """Queries, each with the number of the one document that is relevant."""
    (folder / "qrels").mkdir(parents=True)
    queries, qrels = [], ["query-id\tcorpus-id\tscore"]
    for query, number in judged:
        queries.append(dict(query))
        qrels.append(f"{query['_id']}\td{number:05d}\t1")
    write_jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n", encoding="utf-8")
    return folder


def evaluate(*words: object, code: int = 0) -> Any:
    """Run `corpusmill evaluate` in this process; its exit code is this one."""
    result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    assert result.exit_code == code, result.output
    return result
