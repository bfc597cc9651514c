"""The rejects and notes of a slice: written as they occur, the first in full, others counted by reason."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from types import TracebackType
from typing import IO, Annotated, Any, BinaryIO

from pydantic import Field

from pipelines.sources import Note, Reject
from retrieval.errors import IndexDamaged
from retrieval.storage import MOST_COUNT, Count, FileRecord, LocalWrite, Shape, Store, read_json_as

IN_FULL = 1_000  # rejects of a slice that have a line each
MOST_REASONS = 50  # kinds of reasons that are told apart; input can make each one differ
OTHER = "other reasons"
MORE = "more"  # key of the last line: how many are counted in it alone
REJECTS_SUFFIX = ".rejects.jsonl"
NOTES_SUFFIX = ".notes.jsonl"

_VARIABLE = re.compile(r"""'[^']*'?|"[^"]*"?|\d+""")
_TAIL = 1 << 20  # bytes that the last line of a file has at most
_BLOCK = 1 << 20


class _More(Shape):
    more: Annotated[int, Field(ge=1, le=MOST_COUNT)]
    reasons: dict[str, Count]


def reason_kind(reason: str) -> str:
    """A reason without what differs from record to record: numbers, quoted text, details after a colon."""
    kind = _VARIABLE.sub("…", reason.partition(": ")[0])
    return kind.encode("utf-8", "replace").decode()  # it is a key of JSON, which takes no half of a pair


def note_kind(reason: str) -> str:
    """A note's reason up to its colon: our own words, and the name of an encoding with its number."""
    return reason.partition(": ")[0].encode("utf-8", "replace").decode()


class RejectWriter:
    """Writes the file of a slice, if it has rejects, or that of its notes. Memory does not grow with them.

    A context manager. `kind` names what is counted as one.

    `count`: rejects so far. `reasons`: by kind of reason. `examples`: the first `keep`, to be shown.
    """

    def __init__(
        self, store: Store, key: str, *, keep: int = 10, kind: Callable[[str], str] = reason_kind
    ) -> None:
        self._kind = kind
        self.count = 0
        self.reasons: dict[str, int] = {}
        self.examples: list[str] = []
        self._more: dict[str, int] = {}
        self._store = store
        self._key = key
        self._keep = keep
        self._open = ExitStack()
        self._write: LocalWrite | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "RejectWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, reject: Reject | Note) -> None:
        """Write or count one."""
        self.count += 1
        kind = _count(self.reasons, self._kind(reject.reason), 1)
        if len(self.examples) < self._keep:
            self.examples.append(f"{reject.source}, at {reject.position}: {reject.reason}")
        if self.count <= IN_FULL:
            self._line(asdict(reject))
        else:
            self._more[kind] = self._more.get(kind, 0) + 1

    def finish(self) -> list[FileRecord]:
        """The file, none if there are no rejects."""
        if self._more:
            self._line({MORE: self.count - IN_FULL, "reasons": self._more})
        self._open.close()
        return [self._write.done] if self._write else []

    def _line(self, value: dict[str, Any]) -> None:
        if self._file is None:
            self._write = self._open.enter_context(self._store.writing(self._key))
            self._file = self._open.enter_context(self._write.path.open("wb"))
        self._file.write(json.dumps(value, ensure_ascii=True).encode() + b"\n")


def add_reasons(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by reason of several slices, most first, the number of reasons bounded."""
    total: dict[str, int] = {}
    for part in parts:
        for kind, count in part.items():
            _count(total, kind, count)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def count_rejects(file: BinaryIO) -> int:
    """Rejects that a file tells, recounted in bounded memory. Raises ValueError where they do not add up."""
    lines, tail = 0, b""
    while block := file.read(_BLOCK):
        lines += block.count(b"\n")
        tail = (tail + block)[-_TAIL:]
    if not tail.endswith(b"\n"):
        raise ValueError("its last line has no end")
    data = tail[:-1].rpartition(b"\n")[2]
    try:
        value = json.loads(data)  # not strictly: the texts of a reject may be anything
        if isinstance(value, dict) and MORE not in value:
            return lines
        last = read_json_as(_More, data, "its last line")
    except (IndexDamaged, RecursionError) as error:
        raise ValueError(str(error)[:200]) from error
    if sum(last.reasons.values()) != last.more:
        raise ValueError("the counts by reason in its last line do not add up")
    return lines - 1 + last.more


def _count(counts: dict[str, int], kind: str, number: int) -> str:
    """Count under the kind, or with the others where there are too many; the name that it is counted by."""
    name = kind if kind in counts or len(counts) < MOST_REASONS else OTHER
    counts[name] = counts.get(name, 0) + number
    return name
