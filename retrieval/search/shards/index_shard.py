"""One shard with all that belongs to it: dense lists, vectors, lexical index, passages, token codes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.dense import DenseShard, Quantizer
from retrieval.errors import IndexDamaged
from retrieval.format import Manifest, Passages, ShardRecord, ShardVectors
from retrieval.lexical import BM25, LexicalShard
from retrieval.storage import Store
from retrieval.token_codes import ShardTokens, TokenCodec


@dataclass(frozen=True)
class Shard:
    """An open shard; rows count from 0 in it, passage id = base + row."""

    name: str
    base: int
    rows: int
    passages: Passages
    vectors: ShardVectors
    dense: DenseShard
    lexical: LexicalShard | None
    bm25: BM25 | None
    tokens: ShardTokens | None

    @classmethod
    def open(
        cls, store: Store, manifest: Manifest, record: ShardRecord, quantizer: Quantizer,
        codec: TokenCodec | None, bm25: BM25 | None, cache: Path,
    ) -> "Shard":  # fmt: skip
        """Map a shard's files; those on object storage are copied to `cache` first. Raises IndexDamaged."""
        parts = manifest.parts[record.first_part : record.end_part]
        counts = [part.rows for part in parts]
        if sum(counts) != record.rows:
            raise IndexDamaged(f"shard {record.name} has {record.rows} rows, its parts have {sum(counts)}")
        vectors = ShardVectors(
            [store.local(part.vectors, cache) for part in parts], counts, quantizer.spec.dimension
        )
        dense = DenseShard.open(store.local_folder(record.dense, cache), quantizer, vectors)
        if len(dense) != record.rows:
            raise IndexDamaged(
                f"shard {record.name} has {len(dense)} vectors, the manifest says {record.rows}"
            )
        lexical = None
        if manifest.lexical:
            lexical = LexicalShard.open(store.local_folder(record.lexical, cache), record.rows)
        tokens = None
        if codec is not None:
            paths = [store.local_folder(part.tokens, cache) for part in parts]
            tokens = ShardTokens(paths, counts, codec)
        passages = Passages(store.local(record.passages[0], cache), record.rows)
        return cls(record.name, record.base, record.rows, passages, vectors, dense, lexical, bm25, tokens)

    def local(self, ids: np.ndarray) -> np.ndarray:
        """Rows of passage ids that lie in this shard, -1 for the others."""
        inside = (ids >= self.base) & (ids < self.base + self.rows)
        return np.where(inside, ids - self.base, -1)

    def close(self) -> None:
        """Unmap all files."""
        self.passages.close()
        self.dense.close()
        if self.lexical is not None:
            self.lexical.close()
