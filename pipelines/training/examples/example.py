"""An example: a query, a positive passage, hard negatives. Kept as JSONL that people can read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import InputError


@dataclass(frozen=True)
class TrainingPassage:
    """A passage. `id`: its number in the index; `rank`, `score`: of the search that found it, if one did."""

    passage_id: str
    id: int
    doc_id: str
    title: str
    text: str
    rank: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class Example:
    """`relevant`: ids of all documents that are judged so for the query: no passage of theirs is a negative.

    `group`: what no two splits share. `answers`: strings of which the positive holds one.
    """

    query_id: str
    query: str
    positive: TrainingPassage
    negatives: tuple[TrainingPassage, ...] = ()
    relevant: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    group: str = field(default="")

    def line(self) -> str:
        """As JSON."""
        values = {
            **vars(self), "positive": vars(self.positive), "negatives": [vars(one) for one in self.negatives],
        }  # fmt: skip
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def of_line(cls, line: str, where: str) -> "Example":
        """Of JSON. Raises InputError for another object."""
        try:
            values: dict[str, Any] = json.loads(line)
            values["positive"] = TrainingPassage(**values["positive"])
            values["negatives"] = tuple(TrainingPassage(**one) for one in values.get("negatives", ()))
            values["relevant"] = tuple(values.get("relevant", ()))
            values["answers"] = tuple(values.get("answers", ()))
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{where} is no example: {error!r}", hint="Make it: corpusmill mine") from error


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """A line for each; how many there are."""
    count = 0
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for example in examples:
            file.write(example.line() + "\n")
            count += 1
    return count


def read_examples(path: Path) -> Iterator[Example]:
    """Examples of a file, one at a time. Raises InputError."""
    with path.open(encoding="utf-8", errors="surrogatepass") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Example.of_line(line, f"{path}, line {number}")


class ExampleFile:
    """Random access to a file of examples: 8 bytes of memory for each, and their keys."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where a line is no example."""
        self.path = path
        self._starts: list[int] = []
        self.keys: list[str] = []  # of the positives
        with path.open("rb") as file:
            while line := file.readline():
                if line.strip():
                    where = f"{path}, line {len(self._starts) + 1}"
                    self._starts.append(file.tell() - len(line))
                    example = Example.of_line(line.decode("utf-8", "surrogatepass"), where)
                    self.keys.append(example.positive.passage_id)

    def __len__(self) -> int:
        return len(self._starts)

    def get(self, rows: Iterable[int]) -> list[Example]:
        """Examples by their places."""
        found = []
        with self.path.open("rb") as file:
            for row in rows:
                file.seek(self._starts[row])
                line = file.readline().decode("utf-8", "surrogatepass")
                found.append(Example.of_line(line, str(self.path)))
        return found
