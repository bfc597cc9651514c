"""Passages with metadata of every type for the filters' tests, and filters made and judged without Arrow."""

import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from retrieval.format.parquet_schema import METADATA_PREFIX, part_schema
from retrieval.format.passages import Passages, write_passages

SCHEMA = {
    "lang": "string", "year": "integer", "score": "float", "open": "boolean", "seen": "date",
    "at": "datetime",
    "tags": "list[string]", "sizes": "list[integer]", "first name": "string", "source": "string",
}  # fmt: skip
_WORDS = ["en", "de", "EN", "naïve", "", 'quo"te', "back\\slash", "en fr", "東京"]
_DAYS = [date(2019, 1, 31), date(1970, 1, 1), date(1600, 2, 29), date(2100, 12, 31)]
_VALUES: dict[str, list[Any]] = {
    "string": _WORDS, "integer": [0, -3, 2019, 2020, 2**63 - 1, -(2**63)],
    "float": [0.0, -2.5, 4.0, 1e300], "boolean": [True, False], "date": _DAYS,
    "datetime": [datetime(day.year, 7, 1, 12, 30, tzinfo=UTC) for day in _DAYS],
}  # fmt: skip
_TITLES = ["", "On bees", "On bees", "Rivers"]


def make_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows by field name as a filter sees them: None where there is no value."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        row: dict[str, Any] = {
            "doc_id": f"d{number // 3}", "passage": number % 3, "title": generator.choice(_TITLES) or None,
            "document.source": f"file{number % 2}.jsonl", "start": number, "end": number + 10,
            "position": number // 3,
        }  # fmt: skip
        for name, kind in SCHEMA.items():
            if generator.random() < 0.25:
                row[name] = None
            elif kind.startswith("list["):
                values = [*_VALUES[kind[5:-1]], None]
                row[name] = [generator.choice(values) for _ in range(generator.randrange(4))]
            else:
                row[name] = generator.choice(_VALUES[kind])
        rows.append(row)
    return rows


def open_rows(path: Path, rows: list[dict[str, Any]]) -> Passages:
    """The rows as a shard's passages, written as the build writes them."""
    columns: dict[str, list[Any]] = {
        "doc_id": [row["doc_id"] for row in rows],
        "passage": [row["passage"] for row in rows],
        "title": [row["title"] or "" for row in rows],
        "text": [f"text {number}" for number in range(len(rows))],
        "start": [row["start"] for row in rows],
        "end": [row["end"] for row in rows],
        "source": [row["document.source"] for row in rows],
        "position": [row["position"] for row in rows],
    }
    columns |= {METADATA_PREFIX + name: [row[name] for row in rows] for name in SCHEMA}
    schema = part_schema(SCHEMA)
    table = pa.table(columns, schema=schema)
    step = 5_000  # parts do not end where record batches do
    write_passages(path, (table.slice(start, step) for start in range(0, len(table), step)), schema)
    return Passages(path, len(rows))


def random_filter(generator: random.Random, depth: int = 3) -> dict[str, Any]:
    """A filter in JSON."""
    kind = generator.choice(["and", "or", "not", "has", "leaf", "leaf"]) if depth else "leaf"
    if kind in ("and", "or"):
        count = generator.randrange(2, 4)
        return {kind: [random_filter(generator, depth - 1) for _ in range(count)]}
    if kind == "not":
        return {"not": random_filter(generator, depth - 1)}
    fields = {**SCHEMA, "title": "string", "passage": "integer", "doc_id": "string"}
    name = generator.choice(list(fields))
    if kind == "has":
        return {"has": name}
    declared = fields[name]
    item = declared[5:-1] if declared.startswith("list[") else declared
    operators = ["=", "!=", "in", "not in"]
    operators += ["<", "<=", ">", ">="] * (item != "boolean")
    operators += ["contains"] * (item == "string" or item != declared) + ["starts with"] * (item == "string")
    operator = generator.choice(operators)
    values = [_plain(value) for value in _VALUES[item]] + (
        ["On bees", "On", "d1"] if item == "string" else []
    )
    if operator in ("contains", "starts with", ">="):  # which an empty text makes true of everything
        values = [value for value in values if value != ""]
    value: Any = generator.choice(values)
    if operator in ("in", "not in"):
        value = generator.sample(values, generator.randrange(1, len(values)))
    return {"field": name, "op": operator, "value": value}


def passes(filter: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a row passes a filter in JSON, by the documented meaning."""
    if "and" in filter:
        return all(passes(term, row) for term in filter["and"])
    if "or" in filter:
        return any(passes(term, row) for term in filter["or"])
    if "not" in filter:
        return not passes(filter["not"], row)
    value = row[filter.get("has") or filter["field"]]
    is_list = isinstance(value, list)
    elements = [_plain(item) for item in (value if is_list else [value]) if item is not None]
    if "has" in filter or not elements:
        return bool(elements)
    operator, wanted = filter["op"], filter["value"]
    tests = {
        "=": lambda x: x == wanted, "!=": lambda x: x != wanted, "<": lambda x: x < wanted,
        "<=": lambda x: x <= wanted, ">": lambda x: x > wanted, ">=": lambda x: x >= wanted,
        "in": lambda x: x in wanted, "not in": lambda x: x not in wanted,
        "contains": (lambda x: x == wanted) if is_list else (lambda x: wanted in x),
        "starts with": lambda x: x.startswith(wanted),
    }  # fmt: skip
    quantifier = all if operator in ("!=", "not in") else any
    return quantifier(tests[operator](element) for element in elements)


def _plain(value: Any) -> Any:
    """As JSON has it; ISO dates, and times in UTC, order as they do."""
    return value.isoformat() if isinstance(value, date) else value


def as_expression(filter: dict[str, Any]) -> str:
    """The expression that means the same."""
    for word in ("and", "or"):
        if word in filter:
            return f" {word} ".join(f"({as_expression(term)})" for term in filter[word])
    if "not" in filter:
        return f"not ({as_expression(filter['not'])})"
    name = filter.get("has") or filter["field"]
    name = f"`{name}`" if " " in name else name
    if "has" in filter:
        return f"has {name}"
    value = filter["value"]
    written = f"({', '.join(map(_written, value))})" if isinstance(value, list) else _written(value)
    return f"{name} {filter['op']} {written}"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
