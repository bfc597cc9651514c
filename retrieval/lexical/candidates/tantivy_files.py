"""Files of tantivy, looked at before it opens them: it takes memory for a count in them, unchecked."""

import struct
from pathlib import Path

from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT

_LENGTH = struct.Struct("<II")  # of the footer of every file, which is JSON, and a magic number: at the end
_STORE_FOOTER = struct.Struct("<IQB15x")  # of a store: its version, where its skip index begins, codec
_MOST_FOOTER = 1 << 16
_MOST_LAYERS = 32  # of a skip index: each has an eighth of the entries of the one below
_LAST = 0x80  # set in the last byte of a variable-length integer, whose bytes have 7 bits each, lowest first


def check_stores(folder: Path) -> None:
    """Raise IndexDamaged where tantivy would end this process over a document store of an index.

    A store begins its skip index with the number of layers. tantivy reserves 8 bytes for each of them before
    it reads the first, and a reservation that fails is no error that can be caught.
    """
    for path in folder.glob("*.store"):
        layers = _layers(path)
        if layers is None or layers > _MOST_LAYERS:
            raise IndexDamaged(f"{path} is no document store of tantivy.", hint=DAMAGE_HINT)


def _layers(path: Path) -> int | None:
    """What stands where the number of layers does; None where there is no such place."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < _LENGTH.size:
            return None
        file.seek(size - _LENGTH.size)
        length, _magic = _LENGTH.unpack(file.read(_LENGTH.size))
        end = size - _LENGTH.size - length  # of the store itself
        if length > _MOST_FOOTER or end < _STORE_FOOTER.size:
            return None
        file.seek(end - _STORE_FOOTER.size)
        _version, begin, _codec = _STORE_FOOTER.unpack(file.read(_STORE_FOOTER.size))
        if begin > end - _STORE_FOOTER.size:
            return None
        file.seek(begin)
        return _integer(file.read(min(10, end - _STORE_FOOTER.size - begin)))


def _integer(data: bytes) -> int | None:
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & ~_LAST) << (7 * place)
        if byte & _LAST:
            return value
    return None
