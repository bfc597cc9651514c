"""Search in the lists of an open shard."""

from typing import Any

import faiss
import numpy as np

from retrieval.dense.selector import row_selector
from retrieval.dense.types.inverted.trained_index import Assignment, TrainedLists
from retrieval.format import SearchParameters


class ListsSearch:
    """A FAISS index over a shard's lists."""

    def __init__(self, index: Any, trained: TrainedLists, rows: int) -> None:
        self._index = index
        self._trained = trained  # whose centroids and codebooks the index points to
        self._rows = rows

    def search(
        self, queries: np.ndarray, width: int, parameters: SearchParameters, assigned: Assignment | None,
        selection: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """As `Candidates.search`."""
        if assigned is None:
            assigned = self._trained.assign(queries, parameters.nprobe)
        selector, _bits = row_selector(selection, self._rows)
        scores = np.empty((len(queries), width), np.float32)
        rows = np.empty((len(queries), width), np.int64)
        options = faiss.SearchParametersIVF(nprobe=assigned.nprobe, sel=selector)
        pointer = faiss.swig_ptr
        # The Python wrapper of this method takes no parameters, so the C++ one is called.
        self._index.search_preassigned_c(
            len(queries), pointer(assigned.queries), width, pointer(assigned.lists),
            pointer(assigned.products), pointer(scores), pointer(rows), False, options, None,
        )  # fmt: skip
        return scores, rows
