"""Asks all questions of a file, one after another, and goes on where it was interrupted."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.commands import Asking
from jobs.evaluation.answers.questions import Question, Questions
from jobs.evaluation.answers.scoring import scores
from retrieval.errors import GenerationError, InputError
from retrieval.results import Answer, Hit, Result


@dataclass(frozen=True)
class Outcome:
    """A question that was asked. `measures`: see `scores`. `error`: why there is no answer."""

    id: str
    answer: Answer | None
    measures: dict[str, float]
    seconds: float
    context: tuple[str, ...] = ()
    error: str = ""
    verdict: bool | None = None

    def line(self) -> str:
        """As a line of a run file."""
        answer = None if self.answer is None else self.answer.as_json()
        return json.dumps({**vars(self), "answer": answer, "context": list(self.context)})

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Outcome":
        """From its line."""
        answer = None if values["answer"] is None else Answer.from_json(values["answer"])
        return cls(**{**values, "answer": answer, "context": tuple(values["context"])})


@dataclass
class AnswerRun:
    """All outcomes of one way to answer, in the order of the questions."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Questions that ended with an error."""
        return sum(one.answer is None for one in self.outcomes)


def fingerprint(values: dict[str, Any]) -> str:
    """Of everything that an outcome depends on."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def ask_all(
    name: str, questions: Questions, asking: Asking, options: dict[str, Any], made_of: str,
    file: Path | None, done: Callable[[int], None],
) -> AnswerRun:  # fmt: skip
    """Ask every question; those that a run file has already are taken from there.

    made_of: the fingerprint, which a file has to have. done: is told how many are. An endpoint or a question
    that fails counts as failed, and is asked again the next time. Raises InputError for another run's file.
    """
    known = {} if file is None else read_run(file, made_of)
    run = AnswerRun(name)
    with asyncio.Runner() as runner:
        writer = None if file is None else _writer(file, made_of, known)
        try:
            for number, question in enumerate(questions.questions, 1):
                outcome = known.get(question.id)
                if outcome is None or outcome.answer is None:
                    outcome = runner.run(_ask(question, asking, options))
                    if writer is not None:
                        writer.write(outcome.line() + "\n")
                        writer.flush()
                run.outcomes.append(outcome)
                done(number)
        finally:
            if writer is not None:
                writer.close()
    return run


async def _ask(question: Question, asking: Asking, options: dict[str, Any]) -> Outcome:
    found: list[Hit] = []

    def keep(result: Result) -> None:
        found.extend(result.hits)

    start = time.perf_counter()
    try:
        answer = await asking.ask(question.question, seen=keep, **options)
    except GenerationError as error:
        return Outcome(question.id, None, {}, time.perf_counter() - start, error=str(error)[:500])
    seconds = time.perf_counter() - start
    ids = tuple(dict.fromkeys(hit.passage_id for hit in found))
    return Outcome(question.id, answer, scores(question, answer, found), seconds, ids)


def _writer(file: Path, made_of: str, known: dict[str, Outcome]) -> Any:
    """The run file, open at its end. What failed, and what a crash cut off, is written anew."""
    whole = [one for one in known.values() if one.answer is not None]
    scratch = file.with_name(f".{file.name}.new")
    scratch.write_text(
        "".join(f"{line}\n" for line in (json.dumps({"run": made_of}), *(one.line() for one in whole))),
        encoding="utf-8",
    )
    scratch.replace(file)
    return file.open("a", encoding="utf-8")


def read_run(file: Path, made_of: str | None = None) -> dict[str, Outcome]:
    """Outcomes of a run file by question; none where there is no file. made_of: that it must have.

    A last line that was cut off is passed over. Raises InputError for anything else that is no run.
    """
    if not file.is_file():
        return {}
    found: dict[str, Outcome] = {}
    lines = list(_lines(file))
    if not lines:
        return {}
    try:
        own = json.loads(lines[0])["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no run of answers", hint="Name another file or folder.") from error
    if made_of is not None and own != made_of:
        raise InputError(
            f"{file} holds a run with other questions, settings, or another version of the index",
            hint="Name another folder in --runs, or delete the file to ask everything again.",
        )
    for number, line in enumerate(lines[1:], 2):
        try:
            one = Outcome.of(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise InputError(f"{file}:{number}: it is no outcome of a run") from error
        found[one.id] = one
    return found


def earlier_run(file: Path, questions: Questions) -> AnswerRun:
    """A run of before on these questions. Raises InputError where it lacks one."""
    found = read_run(file)
    missing = [one.id for one in questions.questions if one.id not in found]
    if missing:
        raise InputError(
            f"{file} has no answer to {len(missing):,} of the questions, such as {missing[0]!r}",
            hint="Compare runs on the same questions, and the same --sample.",
        )
    return AnswerRun(f"{file.parent.name}/{file.stem}", [found[one.id] for one in questions.questions])


def _lines(file: Path) -> Iterator[str]:
    try:
        yield from file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
