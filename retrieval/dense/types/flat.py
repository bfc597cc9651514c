"""flat: no index at all. Every vector is scored exactly, from the files of vectors that are stored anyway."""

from pathlib import Path
from typing import Any

from retrieval.dense.index_type import Demand, DenseType, MergeWork
from retrieval.dense.stored_shard import StoredShard
from retrieval.format import FaissSpec, ShardVectors


class Flat(DenseType):
    """Exact search."""

    name = "flat"
    summary = "exact"
    spec = FaissSpec
    needs_vectors = True

    def choose(self, demand: Demand) -> FaissSpec:
        """There is nothing to choose."""
        return FaissSpec(type="flat", dimension=demand.dimension, metric=demand.metric)

    def notation(self, spec: FaissSpec) -> str:
        """As FAISS would call it."""
        return "Flat (float16)"

    def memory_bytes(self, spec: FaissSpec) -> float:
        """Nothing beside the vectors."""
        return 0

    def add(
        self, trained: None, spec: FaissSpec, vectors: ShardVectors, first_row: int, folder: Path
    ) -> dict[str, Any]:
        """A piece is its count alone."""
        return {}

    def merge(self, trained: None, spec: FaissSpec, work: MergeWork) -> dict[str, Any]:
        """And so is a shard."""
        return {}

    def open(
        self, stored: StoredShard, spec: FaissSpec, trained: None, vectors: ShardVectors | None, *, pack: bool
    ) -> None:
        """Everything is scored."""
        return


TYPE = Flat()
