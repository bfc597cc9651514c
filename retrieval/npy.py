"""Memory-mapped .npy files whose header and size are checked before anything is read from them."""

import ast
import math
from pathlib import Path

import torch

from retrieval.errors import IndexDamaged

MAGIC = b"\x93NUMPY\x01\x00"
HINT = "Run `corpusmill verify` on the index; a copy may be incomplete."
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
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError("not an .npy file of version 1.0")
            header = file.read(int.from_bytes(file.read(2), "little")).decode("ascii")
            offset = file.tell()
        # NumPy's own reader tries to repair headers, which takes more exceptions than can be named.
        values = ast.literal_eval(header.strip())
        found = (values["descr"], values["fortran_order"], values["shape"])
    except FileNotFoundError as error:
        raise IndexDamaged(f"The {what} {path} are missing.", hint=HINT) from error
    except (ValueError, OSError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise IndexDamaged(f"The {what} {path} have a damaged header: {error}", hint=HINT) from error
    if found != (descr, False, shape):
        raise IndexDamaged(
            f"The {what} {path} are {found[0]} {found[2]}, expected {descr} {shape}.", hint=HINT
        )
    expected = offset + item_bytes * math.prod(shape)
    if size != expected or offset % item_bytes:
        raise IndexDamaged(f"The {what} {path} have {size} bytes, expected {expected}.", hint=HINT)
    return offset
