"""Memory-mapped .npy files whose header and size are checked before anything is read from them."""

import math
import re
from pathlib import Path

import torch

from retrieval.errors import IndexDamaged
from retrieval.format.headers import DAMAGE_HINT

MAGIC = b"\x93NUMPY\x01\x00"
MOST_HEADER = 512  # bytes; NumPy pads to a multiple of 64
# What NumPy writes, and no other spelling of it: its own reader evaluates the header as Python.
_HEADER = re.compile(
    re.escape(MAGIC) + rb"(?P<length>..)\{'descr': '(?P<descr>[<>|][a-z][0-9]{1,2})', "
    rb"'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9]{1,18}(?:, [0-9]{1,18})*),?\), \} *\n",
    re.DOTALL,
)
_TYPES = {"<f2": torch.float16, "<f4": torch.float32, "<i8": torch.int64, "|u1": torch.uint8}


def map_npy(path: Path, descr: str, shape: tuple[int, ...], what: str) -> torch.Tensor:
    """Map an array of type `descr` ("<f2", "<f4", "<i8", "|u1"), read-only in effect, no handle kept.

    Raises IndexDamaged, naming `what`, where the file is missing or its header or size is not as expected.
    """
    dtype = _TYPES[descr]
    offset = _data_offset(path, descr, shape, dtype.itemsize, what)
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    # torch keeps no descriptor of a mapped file (numpy does), so thousands of parts can be open.
    first = offset // dtype.itemsize
    return torch.from_file(str(path), shared=False, size=first + count, dtype=dtype)[first:].view(shape)


def _data_offset(path: Path, descr: str, shape: tuple[int, ...], item_bytes: int, what: str) -> int:
    """Byte offset of the first value, once header and size are what they should be."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(MOST_HEADER)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "are missing" if missing else f"cannot be read: {error.strerror}"
        raise IndexDamaged(f"The {what} {path} {reason}.", hint=DAMAGE_HINT) from error
    try:
        offset, *found = _parse(head)
    except ValueError as error:
        raise IndexDamaged(f"The {what} {path} have a damaged header: {error}", hint=DAMAGE_HINT) from error
    if found != [descr, shape]:
        raise IndexDamaged(
            f"The {what} {path} are {found[0]} {found[1]}, expected {descr} {shape}.", hint=DAMAGE_HINT
        )
    expected = offset + item_bytes * math.prod(shape)
    if size != expected or offset % item_bytes:
        raise IndexDamaged(f"The {what} {path} have {size} bytes, expected {expected}.", hint=DAMAGE_HINT)
    return offset


def npy_shape(head: bytes) -> tuple[int, ...]:
    """Shape of the array that a file of these first MOST_HEADER bytes holds. Raises ValueError."""
    return _parse(head)[2]


def _parse(head: bytes) -> tuple[int, str, tuple[int, ...]]:
    """Where the values begin, their type and shape."""
    header = _HEADER.match(head)
    if header is None or header.end() != len(MAGIC) + 2 + int.from_bytes(header["length"], "little"):
        raise ValueError("it is none of an .npy file of version 1.0 in C order")
    return header.end(), header["descr"].decode(), tuple(map(int, header["shape"].split(b", ")))
