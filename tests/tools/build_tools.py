"""What tests of builds look at: files with their times, passages and vectors of the latest version."""

from pathlib import Path

import numpy as np
import pandas as pd

from retrieval.format.manifest import read_manifest
from retrieval.storage.store import Store


def snapshot(index: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every file."""
    return {
        str(path.relative_to(index)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in index.rglob("*")
        if path.is_file()
    }


def passages(index: Path) -> pd.DataFrame:
    """All passages of the latest version in the order of their ids."""
    manifest = read_manifest(Store(str(index)))
    return pd.concat(
        [pd.read_parquet(index / part.passages.key) for part in manifest.parts], ignore_index=True
    )


def vectors(index: Path) -> np.ndarray:
    """Their vectors, in the same order."""
    manifest = read_manifest(Store(str(index)))
    return np.concatenate([np.load(index / part.vectors.key) for part in manifest.parts])
