"""Small checked headers of shards: JSON with its own checksum, read before anything is opened."""

import json
import zlib
from pathlib import Path
from typing import Any, TypeVar

from retrieval.errors import IndexDamaged
from retrieval.storage import MOST_JSON_BYTES, Count, Shape, parse_json, validated_json

FORMAT = 1
H = TypeVar("H", bound=Shape)
DAMAGE_HINT = "Run `corpusmill verify` on the index; a copy may be incomplete, or a disk may be failing."


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
    path.write_text(
        json.dumps({**values, "crc32": zlib.crc32(_canonical(values).encode())}, indent=1) + "\n",
        encoding="utf-8",
    )


def read_header(path: Path, shape: type[H]) -> H:
    """The values that `write_header` wrote, as `shape` has them. Raises IndexDamaged where they are not."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_JSON_BYTES + 1)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "is missing" if missing else f"cannot be read: {error.strerror}"
        raise IndexDamaged(f"{path} {reason}.", hint=DAMAGE_HINT) from error
    values = parse_json(data, str(path))
    stored = values.pop("crc32", None) if isinstance(values, dict) else None
    text = _canonical(values)
    if stored != zlib.crc32(text.encode()):
        raise IndexDamaged(f"{path} differs from its checksum.", hint=DAMAGE_HINT)
    if values.get("format") != FORMAT:
        raise IndexDamaged(
            f"{path} has format {str(values.get('format'))[:40]!a}, this version reads format {FORMAT}.",
            hint="Open it with the version of corpusmill that built it, or build the index again.",
        )
    return validated_json(shape, text, str(path))


def _canonical(values: Any) -> str:
    return json.dumps(values, sort_keys=True)


class FileEntry(Shape):
    """What a header says of a file beside it."""

    bytes: Count
    crc32: Count


def check_file(path: Path, size: int, crc32: int | None = None) -> None:
    """Raise IndexDamaged unless the file has this size in bytes and, where given, this CRC-32."""
    if not path.is_file():
        raise IndexDamaged(f"{path} is missing.", hint=DAMAGE_HINT)
    found = path.stat().st_size
    if found != size:
        raise IndexDamaged(f"{path} has {found} bytes, expected {size}.", hint=DAMAGE_HINT)
    if crc32 is not None and crc32_of(path) != crc32:
        raise IndexDamaged(f"{path} differs from its checksum.", hint=DAMAGE_HINT)
