"""The date of a passage, which the prompt tells: a metadata field that the settings name."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from retrieval.errors import ConfigError


def check_date(name: str | None, metadata: Mapping[str, str]) -> None:
    """Whether an index with these metadata, by name their types, has that field. Raises ConfigError."""
    if name is None or metadata.get(name) == "date":
        return
    found = f"is of type {metadata[name]}" if name in metadata else "is not in the index"
    dates = [field for field, kind in metadata.items() if kind == "date"]
    raise ConfigError(
        f"context.date: the field {name[:200]!a} {found}, and a date is told",
        hint=f"Fields of type date: {', '.join(dates)[:500]}."
        if dates
        else "The index has none of type date.",
    )


def date_of(metadata: Mapping[str, Any], name: str | None) -> str:
    """As 2019-12-31; empty where the passage has none."""
    found = metadata.get(name) if name is not None else None
    return found.isoformat() if isinstance(found, date) else ""
