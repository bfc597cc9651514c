"""What a dense index is, resolved: the spec that the manifest carries and a searcher reads back."""

from typing import Any, Literal

from pydantic import Field, model_validator

from retrieval.settings import Settings

ROW_BYTES = 8  # of a row number in an inverted list
# What FAISS takes as a C int, and more than any index has.
MOST_WIDTH = 1_000_000
MOST_LISTS = 4_194_304
MOST_DIMENSIONS = 65_536


class SearchParameters(Settings):
    """How far a search looks."""

    nprobe: int = Field(1, ge=1, le=MOST_LISTS, description="Inverted lists that a query visits.")
    shortlist: int = Field(
        100, ge=1, le=MOST_WIDTH, description="Candidates of a shard that are re-scored exactly."
    )
    ef_search: int = Field(64, ge=1, le=MOST_WIDTH, description="Width of the search in a graph.")
    depth: int = Field(10, ge=1, le=MOST_WIDTH, description="Results for which these were tuned.")

    def for_depth(self, k: int) -> "SearchParameters":
        """Parameters for more results than were tuned for, so that the last of k are as sure as the first.

        Fusion reads a hundred results where tuning looked at ten. A shortlist of 100 gave a recall@100 of
        0.70 and 0.78 on two collections; four times the results and twice the lists gave 0.97 and 0.94.
        """
        if k <= self.depth:
            return self
        nprobe = round(self.nprobe * (k / self.depth) ** 0.3)
        longer = 4 * k if self.shortlist > self.depth else k  # uncompressed lists need no shortlist
        return self.model_copy(update={"nprobe": nprobe, "shortlist": max(self.shortlist, longer)})


class DenseSpec(Settings):
    """A dense index without `auto`: everything that its files depend on, and its search parameters.

    Scores are inner products; `metric` says whether the vectors are normalised (cosine) or not (dot).
    """

    type: Literal["flat", "ivf_flat", "ivf_pq", "hnsw"]
    dimension: int = Field(ge=1, le=MOST_DIMENSIONS)
    metric: Literal["cosine", "dot"] = "cosine"
    nlist: int = Field(0, ge=0, le=MOST_LISTS)
    coarse: Literal["flat", "hnsw"] = "flat"
    pq_m: int = Field(0, ge=0, le=MOST_DIMENSIONS)
    pq_bits: Literal[0, 4, 8] = 0
    opq: bool = False
    hnsw_m: int = Field(32, ge=4, le=256)
    hnsw_ef_construction: int = Field(100, ge=8, le=MOST_WIDTH)
    train_vectors: int = Field(0, ge=0, description="Vectors to sample for training.")
    search: SearchParameters = Field(default_factory=SearchParameters)

    @model_validator(mode="after")
    def _whole(self) -> "DenseSpec":
        if self.is_ivf and not self.nlist:
            raise ValueError("an index with inverted lists has at least one")
        if self.type == "ivf_pq" and (not self.pq_bits or not self.pq_m or self.dimension % self.pq_m):
            raise ValueError("pq_m does not divide the dimension, or there are no pq_bits")
        return self

    @property
    def is_ivf(self) -> bool:
        """Whether the index has inverted lists, and so a trained quantizer."""
        return self.type in ("ivf_flat", "ivf_pq")

    @property
    def code_size(self) -> int:
        """Bytes of a vector's code in an inverted list."""
        if self.type == "ivf_pq":
            return (self.pq_m * self.pq_bits + 7) // 8
        return 2 * self.dimension if self.type == "ivf_flat" else 0

    @property
    def bytes_per_vector(self) -> int:
        """Bytes that a vector adds to the index's own files or memory, float16 vectors apart."""
        if self.is_ivf:
            return self.code_size + ROW_BYTES
        # Level 0 of the graph has 2 M neighbours of 4 bytes; HNSW holds the vectors in memory too.
        return 2 * self.dimension + 8 * self.hnsw_m + 16 if self.type == "hnsw" else 0

    @property
    def stored_bytes_per_vector(self) -> int:
        """Bytes of a vector's own share of the files of a shard."""
        return 8 * self.hnsw_m + 16 if self.type == "hnsw" else self.bytes_per_vector

    @property
    def factory(self) -> str:
        """The index in FAISS's notation, for people."""
        if self.type == "flat":
            return "Flat (float16)"
        if self.type == "hnsw":
            return f"HNSW{self.hnsw_m},SQfp16"
        coarse = f"IVF{self.nlist}" + (f"_HNSW{self.hnsw_m}" if self.coarse == "hnsw" else "")
        code = "SQfp16" if self.type == "ivf_flat" else f"PQ{self.pq_m}x{self.pq_bits}"
        return ",".join([*([f"OPQ{self.pq_m}"] if self.opq else []), coarse, code])

    def artefact_values(self) -> dict[str, Any]:
        """What the files depend on, as plain JSON: everything but the search parameters and the sample."""
        return self.model_dump(mode="json", exclude={"search", "train_vectors"})
