"""Stored vectors of an index that a query tower is trained against: nothing is embedded again."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.judged import token_sequence
from pipelines.training.examples import Example, TrainingPassage
from retrieval.search import Searcher
from retrieval.storage import Store

BANK = "examples/bank.npz"
_FETCHED = 4096  # passages read at once


@dataclass(frozen=True)
class Bank:
    """`ids` (m,) int64, sorted; `vectors` (m, d) float16; `documents` (m,) uint64, hashes of their ids.

    `drawn` (n,): places of the passages that every query is told from; `text`: their tokens, one after the
    other, of which each begins at `starts` (n,); empty where no query has answers.
    """

    ids: np.ndarray
    vectors: np.ndarray
    documents: np.ndarray
    drawn: np.ndarray
    text: bytes
    starts: np.ndarray
    _known: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, passages: Sequence[TrainingPassage]) -> Tensor:
        """Vectors (p, d) float32 of passages of the examples."""
        places = np.searchsorted(self.ids, [passage.id for passage in passages])
        return torch.from_numpy(self.vectors[places].astype(np.float32))

    def drawn_vectors(self) -> Tensor:
        """(n, d) float32."""
        return torch.from_numpy(self.vectors[self.drawn].astype(np.float32))

    def allowed(self, batch: Sequence[Example]) -> Tensor:
        """Which drawn passages are of documents that are not relevant, and hold no answer: (q, n) bool."""
        own = self.documents[self.drawn]
        rows = []
        for example in batch:
            relevant = {_hash(doc_id) for doc_id in (*example.relevant, example.positive.doc_id)}
            row = ~np.isin(own, np.fromiter(relevant, np.uint64))
            for answer in example.answers:
                row[self._holding(token_sequence(answer))] = False
            rows.append(row)
        return torch.from_numpy(np.stack(rows))

    def _holding(self, answer: str) -> np.ndarray:
        """Places among the drawn passages that hold an answer; each is looked for once."""
        if answer not in self._known:
            wanted, places, at = answer.encode(), [], -1
            while wanted and (at := self.text.find(wanted, at + 1)) >= 0:
                places.append(at)
            found = np.searchsorted(self.starts, np.array(places, np.int64), side="right") - 1
            self._known[answer] = np.unique(found)
        return self._known[answer]


def make_bank(searcher: Searcher, examples: Iterable[Example], drawn: int, seed: int, output: Store) -> None:
    """Write the vectors of all passages of the examples, and of `drawn` others, to the output."""
    wanted: set[int] = set()
    answers = False
    for example in examples:
        wanted.update(passage.id for passage in (example.positive, *example.negatives))
        answers |= bool(example.answers)
    total = searcher.manifest.passages
    rng = np.random.default_rng(seed)
    count = min(drawn, total)
    more = rng.permutation(total)[:count] if total <= 10_000_000 else rng.integers(0, total, count)
    ids = np.unique(np.concatenate([np.fromiter(wanted, np.int64, len(wanted)), more.astype(np.int64)]))
    vectors = stored_vectors(searcher, ids)
    names = searcher.doc_ids(ids[None])
    documents = np.fromiter((_hash(names[number]) for number in ids.tolist()), np.uint64, len(ids))
    more = np.unique(more)
    texts = list(_texts(searcher, more)) if answers else []
    starts = np.cumsum([0, *map(len, texts)])[:-1].astype(np.int64)
    text = np.frombuffer(b"".join(texts), np.uint8)
    with output.writing(BANK) as write, Path(write.path).open("wb") as file:
        np.savez(
            file, ids=ids, vectors=vectors, documents=documents, drawn=np.searchsorted(ids, more), text=text,
            starts=starts,
        )  # fmt: skip


def _texts(searcher: Searcher, ids: np.ndarray) -> Iterator[bytes]:
    """Tokens of the texts of passages, as answers are looked for in them."""
    for first in range(0, len(ids), _FETCHED):
        some = ids[first : first + _FETCHED]
        found = searcher.shards.fetch(some, ("text",))
        yield from (token_sequence(found[number]["text"]).encode() + b"\n" for number in some.tolist())


def read_bank(path: Path) -> Bank:
    """The bank of a file that `make_bank` wrote."""
    with np.load(path, allow_pickle=False) as found:
        return Bank(
            found["ids"], found["vectors"], found["documents"], found["drawn"], found["text"].tobytes(),
            found["starts"],
        )  # fmt: skip


def stored_vectors(searcher: Searcher, ids: np.ndarray) -> np.ndarray:
    """Vectors (n, d) float16 of passage ids (n,), as the index holds them."""
    found = np.zeros((len(ids), searcher.spec.dimension), np.float16)
    for shard in searcher.shards.shards:
        rows = shard.local(ids)
        there = np.flatnonzero(rows >= 0)
        if len(there):
            found[there] = shard.vectors.take(rows[there])
    return found


def _hash(doc_id: str) -> int:
    digest = hashlib.blake2b(doc_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
