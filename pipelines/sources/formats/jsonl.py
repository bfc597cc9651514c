"""JSON lines: the records of a byte range, each line read exactly once whatever the cut."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pipelines.sources.document_format import Cut, Reading, RecordFormat
from pipelines.sources.documents import MAX_VALUES, Reject, reject
from pipelines.sources.files import InputFile, open_blocks
from pipelines.sources.lines import from_next_line, lines

_BOM = b"\xef\xbb\xbf"


class JsonLines(RecordFormat):
    name = "jsonl"
    summary = "a JSON object a line"
    suffixes = ("jsonl", "ndjson", "jsonlines")
    cut_by_bytes = True

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
    ) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
        return _records(file, start, end, reading.corpus.storage_options, reading.max_bytes)


def _records(
    file: InputFile, start: int, end: int, options: Mapping[str, Any], max_bytes: int
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """(byte offset, record) of every line whose first byte lies in [start, end); end -1: to the end."""
    # One byte earlier, so that a line that begins exactly at `start` is seen to begin there.
    first = max(0, start - 1)
    with open_blocks(file, options, first, end) as blocks:
        if start:
            first, blocks = from_next_line(blocks, first, end)
        for position, line in lines(blocks, first, max_bytes):
            if 0 <= end <= position:
                return
            if not isinstance(line, bytes):
                yield reject(file.name, position, str(line))
                continue
            if not line:
                continue
            if position == 0 and line.startswith(_BOM):
                line = line[len(_BOM) :]
            if len(line) > MAX_VALUES and _most_values(line) > MAX_VALUES:
                yield reject(file.name, position, f"the record may have more than {MAX_VALUES} values")
                continue
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if line and not line.isspace():
                    yield reject(file.name, position, _reason(line, error))
                continue
            if type(record) is dict:
                yield position, record
            else:
                yield reject(file.name, position, f"the line is a JSON {_json_type(record)}, not an object")


def _most_values(line: bytes) -> int:
    """No fewer than the JSON has values: each of them follows one of these."""
    return sum(map(line.count, (b",", b":", b"[")))


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as invalid:
        return f"invalid UTF-8 at byte {invalid.start} of the line"
    if b"\0" in line:
        return f"broken JSON: NUL bytes in the line ({error.msg})"
    return f"broken JSON: {error.msg}"


def _json_type(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


FORMAT = JsonLines()
