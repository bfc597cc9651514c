"""Keys of an index: relative paths that lead nowhere else, and the names of everything that we write.

An index may come from anybody, so a key is checked where it enters: in a manifest, a marker or a ledger.
Nothing is deleted whose key is not one of those that a builder writes.
"""

import re
from dataclasses import dataclass

from retrieval.errors import IndexDamaged

MOST_CHARACTERS = 1024  # of a key on S3
MOST_NAME_BYTES = 255  # of a file on most disks
_DRIVE = re.compile(r"[A-Za-z]:")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_FP = r"[0-9a-f]{16}"
_CONTENT = r"[0-9a-f]{24}"
_ATTEMPT = r"[0-9a-f]{8}"
_FILE = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_SLICE = rf"{_FP}(-{_ATTEMPT})?"
_PATTERNS = (
    r"corpusmill\.json|LATEST|progress\.json",
    r"(versions|ledger)/\d{6,}\.json|lease/\d{8,}\.json",
    rf"parts/{_FP}/{_SLICE}(\.json|\.ids\.npy|\.rejects\.jsonl|-\d{{4,}}\.parquet)",
    rf"vectors/{_FP}/{_CONTENT}(\.json|-{_ATTEMPT}\.npy)",
    rf"tokens/({_FP}/{_CONTENT}|codecs/{_FP})(\.json|-{_ATTEMPT}/{_FILE})",
    rf"passages/{_FP}/{_FP}\.(json|arrow)",
    rf"(lexical|dense)/{_FP}/{_FP}(\.json|-{_ATTEMPT}/{_FILE})",
    rf"lexical/{_FP}/statistics/{_FP}(\.json|-{_ATTEMPT}/{_FILE})",
    rf"dense/{_FP}/pieces-[0-9a-f]+/{_FP}-\d+-\d+(\.json|-{_ATTEMPT}/{_FILE})",
    rf"background/{_FP}(\.json|-{_ATTEMPT}\.npy)",
    rf"quantizer/{_FP}(\.json|-{_ATTEMPT}/{_FILE})",
    rf"models/{_FP}/.+",  # files of a model have any names
    r"tmp/(corpusmill|doctor)-[0-9a-f]{32}(/.+)?",
)
_WRITTEN = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.ASCII)


def check_key(key: str) -> str:
    """The key, if it is relative, normalised and printable.

    Raises IndexDamaged for `..`, absolute paths, drives, empty steps, NUL and what no file system takes.
    """
    wrong = _what_is_wrong(key)
    if wrong:
        raise IndexDamaged(
            f"the index names a file {str(key)[:100]!a}, and {wrong}",
            hint="No corpusmill writes such a name. Do not use this index unless you know where it is from.",
        )
    return key


def _what_is_wrong(key: object) -> str:
    if not isinstance(key, str):
        return "a key is text"
    if not key or len(key) > MOST_CHARACTERS:
        return f"a key has 1 to {MOST_CHARACTERS:,} characters"
    if not key.isprintable() or "\\" in key or _DRIVE.match(key):
        return "a key has no control characters, backslashes or drives"
    for name in key.split("/"):
        if name in ("", ".", ".."):
            return "a key is a relative path without empty steps, . or .."
        if len(name.encode()) > MOST_NAME_BYTES:
            return f"a step of it is longer than {MOST_NAME_BYTES} bytes"
    return ""


def is_written_by_us(key: str) -> bool:
    """Whether a builder gives files such a name: only those are ever deleted."""
    return not _what_is_wrong(key) and _WRITTEN.fullmatch(key) is not None


@dataclass(frozen=True)
class FileRecord:
    """A finished file: its key below the index, size in bytes and SHA-256 in hexadecimal.

    Raises IndexDamaged for a key that leads out of the index, and for what is no size or digest.
    """

    key: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_key(self.key)
        if type(self.bytes) is not int or self.bytes < 0:
            raise IndexDamaged(f"{self.key} has no size in bytes: {str(self.bytes)[:40]!a}")
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise IndexDamaged(f"{self.key} has no SHA-256: {str(self.sha256)[:80]!a}")
