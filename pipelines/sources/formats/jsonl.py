"""JSON lines: the records of a byte range, each line read exactly once whatever the cut."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pipelines.extraction import BadData
from pipelines.sources.document_format import Cut, Reading, RecordFormat
from pipelines.sources.documents import MAX_VALUES, Note, Reject, note, reject
from pipelines.sources.files import InputFile
from pipelines.sources.lines import TextLines, open_lines

_EXACT = 2.0**53
# A string that nothing closes goes to the end, so that nothing is looked at twice.
_STRING_OR_NAN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|-?\b(?:NaN|Infinity)\b', re.DOTALL)


class JsonLines(RecordFormat):
    name = "jsonl"
    summary = "a JSON object a line"
    suffixes = ("jsonl", "ndjson", "jsonlines")
    cut_by_bytes = True
    code = 2

    def cut(
        self, files: Sequence[InputFile], slice_bytes: int, storage_options: Mapping[str, Any]
    ) -> Iterator[Cut]:
        """Byte ranges of uncompressed files."""
        for file in files:
            if file.compression or file.size <= slice_bytes:
                yield (file,), 0, -1
                continue
            ranges = -(-file.size // slice_bytes)
            for i in range(ranges):
                yield (file,), i * file.size // ranges, (i + 1) * file.size // ranges

    def read(
        self, file: InputFile, start: int, end: int, reading: Reading
    ) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:
        try:
            with open_lines(file, reading, start, end) as found:
                yield from _records(file.name, found, reading.columns)
        except BadData as error:
            yield reject(file.name, start, str(error))


def _records(
    source: str, found: TextLines, wanted: set[str] | None
) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:
    """(byte offset, record) of every line, and notes on it before it.

    wanted: the fields whose values have to be exact, None for all.
    """
    is_utf8, notes = found.is_utf8, found.notes
    for position, line in found:
        if not isinstance(line, bytes):
            yield reject(source, position, str(line))
            continue
        if not line:
            continue
        if len(line) > MAX_VALUES and _most_values(line) > MAX_VALUES:
            yield reject(source, position, f"the record may have more than {MAX_VALUES} values")
            continue
        try:
            text = line if is_utf8 else found.text(line)
            record = orjson.loads(text)
            if type(record) is dict and _rounded(record, wanted):
                record = _exact(text)
        except orjson.JSONDecodeError as error:
            if line.isspace():
                continue
            record = _again(line, error, found)
        except BadData as error:
            record = error
        if notes:
            yield from (note(source, position, told) for told in notes)
            notes.clear()
        if type(record) is dict:
            yield position, record
        elif isinstance(record, BadData):
            yield reject(source, position, str(record))
        else:
            yield reject(source, position, f"the line is a JSON {_json_type(record)}, not an object")


def _again(line: bytes, error: orjson.JSONDecodeError, found: TextLines) -> Any:
    """The value of a line that is no JSON as it stands, or a BadData: it may be of another encoding."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        try:
            text = found.text(line)
        except BadData as unknown:
            return unknown
    try:
        if "NaN" in text or "Infinity" in text:
            text, count = _no_number(text)
            if count:
                found.notes.append("Infinity in JSON was read as null")
        record = orjson.loads(text)
        return _exact(text) if type(record) is dict and _rounded(record, None) else record
    except orjson.JSONDecodeError as broken:
        if "infinity" in broken.msg:  # of more than 308 digits
            return _exact(text)
        if "\0" in text:
            return BadData(f"broken JSON: NUL bytes in the line ({broken.msg})")
        return BadData(f"broken JSON: {broken.msg}")


def _rounded(record: dict[str, Any], wanted: set[str] | None) -> bool:
    """Whether a number may be an integer that the parser made a float of."""
    for name, value in record.items():
        held = value.__class__
        if held is float:
            if not -_EXACT < value < _EXACT and (wanted is None or name in wanted):
                return True
        elif (held is dict or held is list) and (wanted is None or name in wanted) and _may_be_rounded(value):
            return True
    return False


def _may_be_rounded(value: Any) -> bool:
    if value.__class__ is float:
        return not -_EXACT < value < _EXACT
    if value.__class__ is dict:
        return any(map(_may_be_rounded, value.values()))
    return value.__class__ is list and any(map(_may_be_rounded, value))


def _exact(text: bytes | str) -> Any:
    """The record with integers of any length; a BadData where one has thousands of digits."""
    try:
        return json.loads(text, parse_float=_finite)
    except ValueError as error:
        return BadData(f"broken JSON: {error}")


def _finite(digits: str) -> float | str:
    """The number, or where no float is so large, its text."""
    number = float(digits)
    return digits if math.isinf(number) else number


def _no_number(text: str) -> tuple[str, int]:
    """The JSON with null for NaN and the infinities outside its strings, and how many of these there were."""
    infinite = 0

    def null(found: re.Match[str]) -> str:
        nonlocal infinite
        if found[0].startswith('"'):
            return found[0]
        infinite += "Inf" in found[0]
        return "null"

    return _STRING_OR_NAN.sub(null, text), infinite


def _most_values(line: bytes) -> int:
    """No fewer than the JSON has values: each of them follows one of these."""
    return sum(map(line.count, (b",", b":", b"[")))


def _json_type(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


FORMAT = JsonLines()
