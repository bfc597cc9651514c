"""Questions whose answers are measured: JSONL, an object a line.

`question` (or `text`); `answers`, a list, empty for a question that should not be answered; and what is known
beside: `id`, `documents` (ids of those that an answer should cite, and that it needs; `name*` is any whose id
begins so), `nuggets` (facts that a long answer should hold, as TREC RAG has them: objects with `text`,
`importance` vital or okay, and `aliases`, other wordings).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pipelines.judged import read_beir
from retrieval.errors import InputError

MOST_BYTES = 1 << 20  # of a line
MOST_QUESTIONS = 1_000_000
Text = Annotated[str, Field(min_length=1)]


class Nugget(BaseModel):
    """A fact. It counts as told where its text, or one of its aliases, stands in the answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: Text
    importance: Literal["vital", "okay"] = "vital"
    aliases: tuple[Text, ...] = ()


class Question(BaseModel):
    """A question and what is known of its answer. `line`: where it stands in its file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    question: Text
    answers: tuple[Text, ...] = ()
    documents: tuple[Text, ...] = ()
    nuggets: tuple[Nugget, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named_otherwise(cls, values: object) -> object:
        if isinstance(values, dict):
            values = dict(values)
            values.setdefault("question", values.get("text"))
            if values.get("answers") is None and "answer" in values:
                values["answers"] = values["answer"]
            if isinstance(values.get("answers"), str):
                values["answers"] = [values["answers"]]
            values["id"] = str(values.get("id") or values.get("_id") or values.get("number"))
        return values


_QUESTION = TypeAdapter(Question)


@dataclass(frozen=True)
class Questions:
    """The questions of a file, in its order. `name`: of the file."""

    name: str
    questions: tuple[Question, ...]


def read_answer_questions(path: Path, split: str = "test") -> Questions:
    """The questions of a file, or of a split of a folder in BEIR layout.

    Raises InputError with the line of what cannot be read, for two with one id, and for an empty file.
    """
    if path.is_dir():
        return _of_folder(path, split)
    found: dict[str, Question] = {}
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MOST_BYTES + 1), b""), 1):
                if not line.strip():
                    continue
                one = _read(line, f"{path}:{number}", number)
                if one.id in found:
                    raise InputError(f"{path}:{number}: the id {one.id!r} is there twice")
                if len(found) == MOST_QUESTIONS:
                    raise InputError(f"{path} has more than {MOST_QUESTIONS:,} questions")
                found[one.id] = one
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not found:
        raise InputError(f"{path} holds no question", hint='A line is {"question": "…", "answers": ["…"]}.')
    return Questions(path.name, tuple(found.values()))


def _of_folder(folder: Path, split: str) -> Questions:
    """Queries with answers, and as documents those that are judged relevant."""
    dataset = read_beir(folder, split)
    if not dataset.has_answers:
        raise InputError(
            f"the queries of {folder} have no answers", hint="Give a file: question, answers, documents."
        )
    found = []
    for one in dataset.queries:
        grades = dataset.qrels.get(one.query_id, {})
        relevant = tuple(document for document, grade in grades.items() if grade > 0)
        own = {"id": one.query_id, "question": one.text, "answers": one.answers, "documents": relevant}
        found.append(_QUESTION.validate_python(own))
    return Questions(f"{dataset.name}, {split}", tuple(found))


def _read(line: bytes, place: str, number: int) -> Question:
    if len(line) > MOST_BYTES:
        raise InputError(f"{place}: the line is longer than {MOST_BYTES:,} bytes")
    try:
        values = json.loads(line)
        if isinstance(values, dict):
            values.setdefault("number", number)
        return _QUESTION.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        steps = ".".join(str(step) for step in first["loc"]) or "the line"
        raise InputError(f"{place}: {steps}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: it is no JSON: {error}") from error
