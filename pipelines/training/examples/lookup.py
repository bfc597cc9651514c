"""Passages by documents and keys: one pass over the parts' ids, whatever is asked for."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.parts import read_part
from retrieval.format import Manifest
from retrieval.storage import Store

MOST_PASSAGES = 64  # of a document, its first


def passages_of(
    store: Store, manifest: Manifest, documents: Iterable[str], keys: Iterable[str]
) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Passage numbers of documents, in their order, and of keys `doc_id#n`; what is not there is missing.

    Memory: a part's ids, and what is asked for.
    """
    wanted_keys = set(keys)
    wanted = {*documents, *(key.rpartition("#")[0] for key in wanted_keys)}
    values = pa.array(sorted(wanted), pa.string())
    by_document: dict[str, list[int]] = {}
    by_key: dict[str, int] = {}
    base = 0
    for part in manifest.parts:
        table = read_part(store, part.passages.key, ["doc_id", "passage"], part.rows)
        rows = np.flatnonzero(pc.is_in(table["doc_id"], value_set=values).to_numpy(zero_copy_only=False))
        found = table.take(rows)
        pairs = zip(found["doc_id"].to_pylist(), found["passage"].to_pylist(), rows.tolist(), strict=True)
        for doc_id, number, row in pairs:
            own = by_document.setdefault(doc_id, [])
            if len(own) < MOST_PASSAGES:
                own.append(base + row)
            if f"{doc_id}#{number}" in wanted_keys:
                by_key[f"{doc_id}#{number}"] = base + row
        base += part.rows
    return by_document, by_key
