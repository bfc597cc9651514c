"""What a dense index is, resolved: the spec that the manifest carries and a searcher reads back."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from retrieval.settings import Settings

ROW_BYTES = 8  # of a row number in an inverted list
# What FAISS takes as a C int, and more than any index has.
MOST_WIDTH = 1_000_000
MOST_LISTS = 4_194_304
MOST_DIMENSIONS = 65_536
TYPE_NAME = "^[a-z][a-z0-9_]*$"  # of a type of index: it stands in messages and in the configuration
MOST_NAME = 40


class SearchParameters(Settings):
    """How far a search looks."""

    nprobe: int = Field(1, ge=1, le=MOST_LISTS, description="Inverted lists that a query visits.")
    shortlist: int = Field(
        100, ge=1, le=MOST_WIDTH, description="Candidates of all shards that are re-scored exactly."
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

    Scores are inner products; `metric` says whether the vectors are normalised (cosine) or not (dot). A type
    of index adds what its own files depend on, in a model of its own; `AnyDenseSpec` reads what all have.
    """

    type: str = Field(pattern=TYPE_NAME, max_length=MOST_NAME)
    dimension: int = Field(ge=1, le=MOST_DIMENSIONS)
    metric: Literal["cosine", "dot"] = "cosine"
    train_vectors: int = Field(0, ge=0, description="Vectors to sample for training.")
    search: SearchParameters = Field(default_factory=SearchParameters)

    def artefact_values(self) -> dict[str, Any]:
        """What the files depend on, as plain JSON: everything but the search parameters and the sample."""
        return self.model_dump(mode="json", exclude={"search", "train_vectors"})


class _AnyParameters(SearchParameters):
    model_config = ConfigDict(extra="ignore")


class AnyDenseSpec(DenseSpec):
    """What a manifest says of an index of a type that is not known here; the type reads the rest."""

    model_config = ConfigDict(extra="ignore")
    search: _AnyParameters = Field(default_factory=_AnyParameters)


class FaissSpec(DenseSpec):
    """The spec of the four types that are FAISS's; they share one, with what one of them lacks left at 0."""

    type: Literal["flat", "ivf_flat", "ivf_pq", "hnsw"]
    nlist: int = Field(0, ge=0, le=MOST_LISTS)
    coarse: Literal["flat", "hnsw"] = "flat"
    pq_m: int = Field(0, ge=0, le=MOST_DIMENSIONS)
    pq_bits: Literal[0, 4, 8] = 0
    opq: bool = False
    hnsw_m: int = Field(32, ge=4, le=256)
    hnsw_ef_construction: int = Field(100, ge=8, le=MOST_WIDTH)

    @model_validator(mode="after")
    def _whole(self) -> "FaissSpec":
        if self.type in ("ivf_flat", "ivf_pq") and not self.nlist:
            raise ValueError("an index with inverted lists has at least one")
        if self.type == "ivf_pq" and (not self.pq_bits or not self.pq_m or self.dimension % self.pq_m):
            raise ValueError("pq_m does not divide the dimension, or there are no pq_bits")
        return self


FAISS_TYPES = ("flat", "ivf_flat", "ivf_pq", "hnsw")


def spec_model(values: dict[str, Any]) -> type[DenseSpec]:
    """What a manifest's spec has to be as far as the format knows it."""
    return FaissSpec if values.get("type") in FAISS_TYPES else AnyDenseSpec
