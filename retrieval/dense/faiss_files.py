"""Reading FAISS's own files so that none of them opens another."""

from pathlib import Path
from typing import Any

import faiss

from retrieval.dense.files import HINT
from retrieval.errors import IndexDamaged


def read_index(path: Path, kind: type) -> Any:
    """An index of the class `kind`. Raises IndexDamaged for what is no such index, or names other files.

    FAISS maps the file that on-disk inverted lists name, wherever it lies. Told to look beside the index, it
    refuses such lists where it reads from something else than a file.
    """
    with path.open("rb") as file:
        return _checked(path, kind, faiss.read_index, faiss.PyCallbackIOReader(file.read), _BESIDE)


def read_transform(path: Path) -> Any:
    """A linear transform. Raises IndexDamaged."""
    with path.open("rb") as file:
        return _checked(
            path, faiss.LinearTransform, faiss.read_VectorTransform, faiss.PyCallbackIOReader(file.read)
        )


_BESIDE = faiss.IO_FLAG_ONDISK_SAME_DIR


def _checked(path: Path, kind: type, read: Any, *arguments: Any) -> Any:
    try:
        found = read(*arguments)
    except (RuntimeError, MemoryError) as error:
        raise IndexDamaged(f"{path} cannot be read: {error}", hint=HINT) from error
    if not isinstance(found, kind):
        raise IndexDamaged(f"{path} is a {type(found).__name__}, not a {kind.__name__}.", hint=HINT)
    return found
