"""Copies of packaged models in a form that is loaded fast, each made once and kept."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from retrieval.errors import ModelError


def conversions_folder() -> Path:
    """Where they are kept: under CORPUSMILL_CACHE, or ~/.cache/corpusmill."""
    root = os.environ.get("CORPUSMILL_CACHE") or Path.home() / ".cache" / "corpusmill"
    return Path(root) / "models"


def converted(name: str, make: Callable[[Path, Path], None], *, room: str, root: Path | None = None) -> Path:
    """The folder `name`, which `make` fills where it is not there: it gets a scratch folder, and a new one.

    It appears whole, by a rename: an interrupted conversion leaves nothing that would be taken for it, and of
    two processes that convert one wins. name: carries what the conversion depends on. room: what it takes.
    Raises ModelError where it cannot be made.
    """
    root = root or conversions_folder()
    folder = root / name
    if folder.is_dir():
        return folder
    scratch: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".converting-", dir=root))
        make(scratch, scratch / "model")
        try:
            (scratch / "model").rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same result
                raise
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the packaged model {name} could not be converted in {root}: {error}",
            hint=f"It takes {room} there; set CORPUSMILL_CACHE to a folder with room.",
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder
