"""Passages that stand beside hits in their documents: a document's passages have consecutive ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrieval.results import Neighbour
from retrieval.search.protocols import Shards


def read_neighbours(
    ids: np.ndarray, hits: Mapping[int, dict[str, Any]], reach: int, group: Shards, passages: int
) -> list[tuple[Neighbour, ...] | None]:
    """Of the hits of each query, int64 (q, k), -1 for none, the passages up to `reach` places beside them.

    In the order of ids, without the hits themselves; None for all where `reach` is 0. hits: fields by id.
    passages: of the index. What lies in shards that do not answer is left out, with what lies beyond it.
    """
    if not reach:
        return [None] * len(ids)
    steps = np.concatenate([np.arange(-reach, 0), np.arange(1, reach + 1)])
    around = ids[..., None] + steps
    around = np.where((ids[..., None] >= 0) & (around >= 0) & (around < passages), around, -1)
    owners = {number: row["doc_id"] for number, row in group.fetch(around, ("doc_id",)).items()}
    wanted = [_of_documents(row, hits, owners, reach) for row in ids.tolist()]
    found = group.fetch(np.array(sorted(set().union(*wanted)), np.int64))
    return [tuple(Neighbour(**found[number]) for number in sorted(row) if number in found) for row in wanted]


def _of_documents(
    row: Sequence[int], hits: Mapping[int, dict[str, Any]], owners: Mapping[int, str], reach: int
) -> set[int]:
    """Ids beside the hits of a query, on either side as far as their document goes."""
    wanted: set[int] = set()
    for number in row:
        for side in (-1, 1) if number in hits else ():
            for beside in range(number + side, number + side * (reach + 1), side):
                if owners.get(beside) != hits[number]["doc_id"]:
                    break
                wanted.add(beside)
    return wanted - {number for number in row if number in hits}
