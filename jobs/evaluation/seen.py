"""Tells queries apart by whether a model of the index was trained with one of their positives.

What a training saw lies beside the model that it wrote, and comes into an index with the model's files.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.judged import Dataset
from pipelines.parts import read_part
from pipelines.training import SEEN
from retrieval.search import Searcher
from retrieval.storage import Store

_MOST_BYTES = 256_000_000


def seen_queries(searcher: Searcher, store: Store, dataset: Dataset) -> np.ndarray:
    """Which queries have a positive that a model of the index was trained with: (q,) bool.

    Without judgements, or where no model was trained by corpusmill, none. Memory: the groups that models were
    trained with, and the judged documents.
    """
    none = np.zeros(len(dataset.queries), bool)
    groups = trained_on(searcher, store)
    if not groups or not dataset.qrels:
        return none
    judged = {doc for documents in dataset.qrels.values() for doc, grade in documents.items() if grade > 0}
    names = {doc_id: {f"document {doc_id}", f"title {doc_id}"} for doc_id in judged}
    if any(group.startswith("title ") for group in groups):
        for doc_id, title in _titles(searcher, store, judged).items():
            if title:
                names[doc_id] = {f"document {doc_id}", f"title {title}"}
    return np.array(
        [
            any(grade > 0 and names[doc] & groups for doc, grade in dataset.qrels[query.query_id].items())
            for query in dataset.queries
        ],
        bool,
    )


def trained_on(searcher: Searcher, store: Store) -> set[str]:
    """Groups that the index's models were trained with, as "title Lake Baikal" or "document 17"."""
    found: set[str] = set()
    for record in searcher.manifest.model_files:
        if record.key.rpartition("/")[2] == SEEN:
            lines = store.read(record.key, _MOST_BYTES).decode("utf-8", "replace").splitlines()
            kind = lines[0].removeprefix("# ") if lines else ""
            found.update(f"{kind} {line}" for line in lines[1:])
    return found


def _titles(searcher: Searcher, store: Store, documents: set[str]) -> dict[str, str]:
    wanted = pa.array(sorted(documents), pa.string())
    found: dict[str, str] = {}
    for part in searcher.manifest.parts:
        table = read_part(store, part.passages.key, ["doc_id", "title"], part.rows)
        own = table.filter(pc.is_in(table["doc_id"], value_set=wanted))
        pairs = zip(own["doc_id"].to_pylist(), own["title"].to_pylist(), strict=True)
        found.update((doc_id, " ".join(title.split())) for doc_id, title in pairs)
    return found
