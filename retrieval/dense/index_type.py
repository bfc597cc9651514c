"""What a type of dense index offers: everything that a build and a search ask of it. Functions, no Ray.

A type is an object without state of its own, whose class is found by its module's name, since workers get
it pickled. What all types share is done for them: headers with checksums, the order of pieces, exact
re-scoring of what a search found, tuning, verification. docs/extending.md goes through it step by step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from retrieval.dense.settings import DenseSettings
from retrieval.dense.stored_shard import ShardHeader, StoredShard
from retrieval.format import DenseSpec, SearchParameters, ShardVectors
from retrieval.settings import Settings


@dataclass
class Demand:
    """What is to be indexed. `budget`: bytes for codes when serving. `reasons`: told to people; a type adds
    to them."""

    settings: DenseSettings
    vectors: int
    dimension: int
    metric: Literal["cosine", "dot"]
    budget: int
    reasons: list[str] = field(default_factory=list)

    def fits(self, bytes_per_vector: float) -> bool:
        """Whether the vectors keep to the budget at so many bytes each."""
        return self.vectors * bytes_per_vector <= self.budget


@dataclass(frozen=True)
class MergeWork:
    """Pieces or shards that follow each other, to be written into `out` as one of rows from first_row on.

    offsets: what is added to the rows of each. vectors: those of the whole, where the type asks for them.
    """

    stored: Sequence[StoredShard]
    offsets: Sequence[int]
    first_row: int
    total: int
    out: Path
    vectors: ShardVectors | None
    settings: DenseSettings
    threads: int


def bytes_in_words(count: float) -> str:
    """A size for people, in three digits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


class Candidates(Protocol):
    """What a type searches in an open shard."""

    def search(
        self, queries: np.ndarray, width: int, parameters: SearchParameters, assigned: Any,
        selection: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """The `width` best rows of queries (q, d) float32: (scores float32, rows int64), both (q, width).

        Scores are approximate: higher is nearer. Missing rows are -1. assigned: of `DenseType.assign`, or
        None. selection: sorted, unique int64 rows to search in.
        """


class DenseType(ABC):
    """A type of dense index. Names that a subclass gives, and functions of paths and arrays."""

    name: ClassVar[str]  # `dense.type` in a configuration: a-z, 0-9 and _
    summary: ClassVar[str]  # one line for the reference page
    spec: ClassVar[type[DenseSpec]]  # its model in the manifest; forbids what it does not know
    options: ClassVar[type[Settings]] = Settings  # `dense.options` in a configuration
    header: ClassVar[type[ShardHeader]] = ShardHeader  # what it says in shard.json beside what all say

    trains: ClassVar[bool] = False  # on a sample, into files that all shards share
    merges: ClassVar[bool] = False  # pieces are made in parallel, longer shards start from shorter ones
    merges_vectors: ClassVar[bool] = False  # a merge reads the shard's vectors
    needs_vectors: ClassVar[bool] = False  # there is no approximate score without the vectors
    uses_gpu: ClassVar[bool] = False  # to train and to add, where FAISS sees one

    tuned: ClassVar[tuple[str, ...]] = ()  # search parameters that differ in its grid
    advice: ClassVar[str] = ""  # what raises the recall where no point of the grid reaches the target

    def least_vectors(self, settings: DenseSettings) -> int:
        """Vectors that it can be made of; fewer are searched exactly by `flat`."""
        return 0

    @abstractmethod
    def choose(self, demand: Demand) -> DenseSpec:
        """The spec for so many vectors. Raises ConfigError where a setting does not fit the dimension."""

    def notation(self, spec: Any) -> str:
        """The index in short, for people: FAISS's notation where it has one."""
        return self.name

    @abstractmethod
    def memory_bytes(self, spec: Any) -> float:
        """Bytes that a vector adds to what a search holds, float16 vectors apart: 0 where it adds nothing."""

    def stored_bytes(self, spec: Any) -> float:
        """Bytes that a vector adds to the files of a shard."""
        return self.memory_bytes(spec)

    def row_bytes(self, spec: Any) -> dict[str, int]:
        """Files of a shard that have exactly so many bytes a vector, which verification counts again."""
        return {}

    def grid(self, spec: Any, k: int) -> list[SearchParameters]:
        """The parameters that tuning tries, from cheap to thorough; the same for every shard of an index."""
        return [SearchParameters(depth=k)]

    def deepened(self, spec: Any, parameters: SearchParameters, k: int, share: float) -> SearchParameters:
        """Parameters for k results where they were tuned for fewer; share: of the rows, kept by a filter."""
        return parameters

    def trained_files(self, spec: Any) -> list[str]:
        """Names of the files that `train` writes."""
        return []

    def train(self, spec: Any, sample: np.ndarray, seed: int, folder: Path) -> None:  # noqa: B027
        """Train on sample (n, d), float32 or float16, and write `trained_files` into a folder.

        The same sample and seed give the same files. Raises BuildFailed where it is too small.
        """

    def load(self, folder: Path, spec: Any) -> Any:
        """What `train` wrote, opened; sizes and checksums are right. None where nothing is trained.

        The bytes may be anybody's. Raises IndexDamaged where they are not what `train` writes for the spec.
        """
        return None

    def assign(self, trained: Any, spec: Any, queries: np.ndarray, parameters: SearchParameters) -> Any:
        """What is computed once of queries (q, d) float32 for all shards; it can be sliced by queries."""
        return None

    @abstractmethod
    def add(
        self, trained: Any, spec: Any, vectors: ShardVectors, first_row: int, folder: Path
    ) -> dict[str, Any]:
        """Write a piece, whose rows are first_row, first_row + 1, ...; what `header` has of its own.

        Memory is in proportion to the piece. Raises StorageError where the disk is full.
        """

    def read(self, folder: Path, header: Any, spec: Any) -> Any:
        """Check the structure of a piece or shard in milliseconds; what it keeps for `merge` and `open`.

        Raises IndexDamaged where a file is missing, truncated, or not what the header and the spec say.
        """
        return None

    @abstractmethod
    def merge(self, trained: Any, spec: Any, work: MergeWork) -> dict[str, Any]:
        """Write the shard; what `header` has of its own. Memory does not grow with the rows where `merges`.

        Raises IndexDamaged where the pieces do not hold exactly their rows, ConfigError where a shard is too
        large, StorageError.
        """

    @abstractmethod
    def open(
        self, stored: StoredShard, spec: Any, trained: Any, vectors: ShardVectors | None, *, pack: bool
    ) -> Candidates | None:
        """Map a shard; None where it is scored exactly. pack: copy codes where that is searched faster.

        Raises IndexDamaged.
        """
