"""Embeddings of the queries that were asked last: a repeated query needs no model."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from threading import Lock

import numpy as np

Encode = Callable[[Sequence[str]], tuple[np.ndarray, set[int]]]  # vectors (q, d), places of queries cut


class VectorCache:
    """Keeps the vectors of up to `most` queries, those asked last. Safe to use from several threads."""

    def __init__(self, most: int, observe: Callable[[int, int], None] = lambda _found, _missed: None) -> None:
        """observe: is told how many queries of a call were found and how many were not."""
        self._most = most
        self._observe = observe
        self._held: OrderedDict[bytes, tuple[np.ndarray, bool]] = OrderedDict()
        self._lock = Lock()

    def encode(self, model: str, queries: Sequence[str], encode: Encode) -> tuple[np.ndarray, set[int]]:
        """As `encode`, which is asked for what is not known of this model."""
        if not self._most or not queries:
            return encode(queries)
        # Under a digest, an entry has one size however long its query is.
        keys = [sha256(f"{model}\0{query}".encode("utf-8", "surrogatepass")).digest() for query in queries]
        known = self._find(keys)
        missing = [place for place in range(len(keys)) if keys[place] not in known]
        if missing:
            vectors, cut = encode([queries[place] for place in missing])
            # A row of its own: a view would keep the whole batch.
            new = {keys[place]: (vectors[row].copy(), row in cut) for row, place in enumerate(missing)}
            self._add(new)
            known |= new
        self._observe(len(keys) - len(missing), len(missing))
        found = [known[key] for key in keys]
        return np.stack([vector for vector, _ in found]), {row for row, (_, cut) in enumerate(found) if cut}

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, tuple[np.ndarray, bool]]:
        with self._lock:
            found = {key: self._held[key] for key in keys if key in self._held}
            for key in found:
                self._held.move_to_end(key)
        return found

    def _add(self, new: dict[bytes, tuple[np.ndarray, bool]]) -> None:
        with self._lock:
            self._held.update(new)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
