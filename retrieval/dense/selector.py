"""Selected rows as FAISS takes them."""

from typing import Any

import faiss
import numpy as np


def row_selector(selection: np.ndarray | None, rows: int) -> tuple[Any, np.ndarray | None]:
    """A FAISS bitmap of the selected rows, and the bits, which must outlive it."""
    if selection is None:
        return None, None
    chosen = np.zeros(rows, bool)
    chosen[selection] = True
    bits = np.packbits(chosen, bitorder="little")
    return faiss.IDSelectorBitmap(bits), bits
