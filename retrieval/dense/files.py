"""Small checked headers of a dense index: JSON with its own checksum, read before anything is opened."""

import json
import zlib
from pathlib import Path
from typing import Any

from retrieval.errors import IndexDamaged

FORMAT = 1
HINT = "Run `corpusmill verify` on the index; a copy may be incomplete, or a disk may be failing."


def crc32_of(path: Path) -> int:
    """CRC-32 of a file's bytes."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            value = zlib.crc32(chunk, value)
    return value


def write_header(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as JSON, with a format number and a checksum of the rest."""
    values = {"format": FORMAT, **values}
    path.write_text(json.dumps({**values, "crc32": _crc32(values)}, indent=1) + "\n", encoding="utf-8")


def read_header(path: Path) -> dict[str, Any]:
    """The values that `write_header` wrote. Raises IndexDamaged where they are not the same."""
    try:
        values = json.loads(path.read_bytes())
        stored = values.pop("crc32")
        intact = stored == _crc32(values)
    except FileNotFoundError as error:
        raise IndexDamaged(f"{path} is missing.", hint=HINT) from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise IndexDamaged(f"{path} cannot be read: {error}", hint=HINT) from error
    if not intact:
        raise IndexDamaged(f"{path} differs from its checksum.", hint=HINT)
    if values.get("format") != FORMAT:
        raise IndexDamaged(
            f"{path} has format {values.get('format')}, this version reads format {FORMAT}.",
            hint="Open it with the version of corpusmill that built it, or build the index again.",
        )
    return values


def _crc32(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def check_file(path: Path, size: int, crc32: int | None = None) -> None:
    """Raise IndexDamaged unless the file has this size in bytes and, where given, this CRC-32."""
    if not path.is_file():
        raise IndexDamaged(f"{path} is missing.", hint=HINT)
    found = path.stat().st_size
    if found != size:
        raise IndexDamaged(f"{path} has {found} bytes, expected {size}.", hint=HINT)
    if crc32 is not None and crc32_of(path) != crc32:
        raise IndexDamaged(f"{path} differs from its checksum.", hint=HINT)
