"""The encoder: passages and queries in, float32 vectors out, as the model's own library computes them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from retrieval.deadline import to_the_end
from retrieval.errors import ConfigError, ModelError
from retrieval.models.encoders.encoder_side import LoadedSide
from retrieval.models.encoders.model_folder import Side, read_layout
from retrieval.models.encoders.tokenizer import Tokenizer, Tokens
from retrieval.models.errors import reading_model
from retrieval.models.loading import load_model
from retrieval.models.resolved_model import resolve_model_side
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings

Vectors = npt.NDArray[np.float32]
# On a CPU larger batches leave the caches and their buffers are mapped anew each time: half the
# speed at 16,384.
BATCH_TOKENS = {"cpu": 4_096, "cuda": 65_536}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Encoder:
    """The model or models of an index, loaded.

    `dimension`: d of the vectors. `max_tokens`: window of a passage, of which `special_tokens` are
    special; `max_query_tokens`: window of a query. `metric`: "cosine" (vectors have length 1) or "dot".
    `dtype`, `device`: where and in which precision the transformer runs. `description`: all of this as
    JSON, for the manifest.
    """

    def __init__(
        self, settings: ModelSettings, sides: dict[Side, LoadedSide], *, device: str, dtype: torch.dtype,
        trust: Trust,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.device = device
        self.dtype = str(dtype).removeprefix("torch.")
        self._sides = sides
        self._tokenizers: dict[Side, Tokenizer] = {name: side.tokenizer for name, side in sides.items()}
        for name in ("passage", "query"):
            if name not in self._tokenizers:  # the description tells of both sides
                self._tokenizers[name] = Tokenizer.open(settings, name, trust)
        passage = self._tokenizers["passage"]
        self.max_tokens = passage.max_tokens
        self.special_tokens = passage.special_tokens
        self.max_query_tokens = self._tokenizers["query"].max_tokens
        self.tokenizer_file: Path = passage.tokenizer_file
        self.passage_prompt = passage.prompt
        self.query_prompt = self._tokenizers["query"].prompt
        self.metric: Literal["cosine", "dot"] = _metric(passage, settings)
        self.dimension = self._probe_dimension()
        self.description = self._describe()

    @classmethod
    @to_the_end
    @reading_model()
    def open(
        cls,
        settings: ModelSettings,
        *,
        sides: Collection[Side] = ("passage", "query"),
        threads: int | None = None,
        trust: Trust = Trust(),
    ) -> "Encoder":
        """Have the models of `sides` in memory, each once. `threads` bounds torch's on a CPU.

        Raises ModelError as `models.resolve`, and ConfigError for a device that is not there.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        device = choose_device(settings)
        dtype = choose_dtype(settings, device)
        loaded: dict[Side, LoadedSide] = {}
        for side in sides:
            model = resolve_model_side(settings, side, trust)
            tokenizer = Tokenizer(read_layout(model.folder, side), settings)
            loaded[side] = LoadedSide(
                load_model("SentenceTransformer", model, trust, device=device, dtype=dtype),
                tokenizer,
                device=device,
                batch_tokens=settings.batch_tokens or BATCH_TOKENS[device],
            )
        return cls(settings, loaded, device=device, dtype=dtype, trust=trust)

    def tokenize_passages(self, titles: Sequence[str | None], texts: Sequence[str]) -> Tokens:
        """Tokens of the passages with their titles; see `Tokenizer.tokenize_passages`."""
        return self._tokenizers["passage"].tokenize_passages(titles, texts)

    def encode_tokens(self, tokens: Tokens) -> Vectors:
        """Vectors of tokenized passages, in input order: (n, dimension) float32.

        They depend on `tokens`, the model and `batch_tokens` alone. Under cosine they have length 1; a
        vector of zeros, which has no direction, stays one and scores 0 with every query.
        Raises ModelError where a vector is not finite, or a single row does not fit into memory.
        """
        return self._encode("passage", tokens)

    def encode_passages(self, titles: Sequence[str | None], texts: Sequence[str]) -> Vectors:
        """Vectors of passages, titles in front: (n, dimension) float32. Raises as `encode_tokens`."""
        return self.encode_tokens(self.tokenize_passages(titles, texts))

    @reading_model()
    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dimension) float32. Raises InputError for text that is no Unicode."""
        return self._encode("query", self._tokenizers["query"].tokenize_queries(texts))

    def count_truncated(self, texts: Sequence[str]) -> int:
        """How many of these queries are longer than the query side's window."""
        return int(self._tokenizers["query"].tokenize_queries(texts).truncated.sum())

    def _encode(self, side: Side, tokens: Tokens) -> Vectors:
        if side not in self._sides:
            raise ModelError(f"this encoder was opened without its {side} side", hint="Open both sides.")
        if not len(tokens):
            return np.empty((0, self.dimension), np.float32)
        vectors = self._sides[side].encode(tokens)
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise ModelError(
                f"{self.settings.name} in {self.dtype}: {int((~finite).sum())} of {len(tokens)} vectors are "
                f"not finite, the first that of row {int(np.argmin(finite))}",
                hint="Set `model.dtype` to float32 (float16 overflows in some models).",
            )
        if self.metric == "cosine":
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(norms > 0, norms, 1.0)
        return vectors

    def _probe_dimension(self) -> int:
        dimensions = {
            name: side.encode(side.tokenizer.tokenize_queries(["dimension"])).shape[1]
            for name, side in self._sides.items()
        }
        if len(set(dimensions.values())) > 1:
            raise ModelError(
                f"{self.settings.name} gives {dimensions['passage']} dimensions and "
                f"{self.settings.query_name or self.settings.name}, for queries, {dimensions['query']}",
                hint="`model.name` and `model.query_name` must be two halves of one model.",
            )
        return next(iter(dimensions.values()))

    def _describe(self) -> dict[str, Any]:
        both: dict[str, Any] = {
            "metric": self.metric,
            "dimension": self.dimension,
            "dtype": self.dtype,
            "normalized": self.metric == "cosine",
        }
        for name, tokenizer in self._tokenizers.items():
            layout = tokenizer.layout
            both[name] = {
                "prompt": tokenizer.prompt,
                "max_tokens": tokenizer.max_tokens,
                "pooling": layout.pooling,
                "pools_prompt": layout.include_prompt,
                "modules": list(layout.modules),
            }
        return both


def _metric(tokenizer: Tokenizer, settings: ModelSettings) -> Literal["cosine", "dot"]:
    """The similarity that the model asks for, unless the settings say otherwise.

    A model that does not say is taken as cosine, as sentence-transformers does; two separate encoders
    without normalisation are a DPR pair, which is trained with the inner product.
    """
    layout = tokenizer.layout
    if settings.normalize is not None:
        return "cosine" if settings.normalize else "dot"
    if layout.similarity in ("cosine", "dot"):
        return "cosine" if layout.similarity == "cosine" or layout.normalizes else "dot"
    if layout.similarity is not None:
        raise ModelError(
            f"{settings.name} compares vectors by {layout.similarity}, which an index cannot search",
            hint="Set `model.normalize: true` to search it by cosine.",
        )
    return "dot" if settings.query_name is not None and not layout.normalizes else "cosine"


def choose_device(settings: ModelSettings) -> str:
    """The device of a model, "cpu" or "cuda". Raises ConfigError for one that is not there."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "`model.device` is cuda, and torch finds no GPU here",
            hint="Set it to auto, or install torch with CUDA.",
        )
    if settings.device == "cpu":
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(settings: ModelSettings, device: str) -> torch.dtype:
    """The precision of a transformer: as configured, or the lowest that the device computes fast."""
    if settings.dtype != "auto":
        return _DTYPES[settings.dtype]
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _fast_bfloat16(torch.cpu.get_capabilities()) else torch.float32


def _fast_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    """Whether a CPU multiplies bfloat16 faster than float32.

    Those with AVX512-FP16 do so in AMX alone: where that is hidden, as some virtual machines do, bfloat16
    takes 1.6 times as long (bge-small-en, Xeon of the fourth generation).
    """
    if not torch.backends.mkldnn.is_available():
        return False
    without_amx = capabilities.get("avx512_bf16") and not capabilities.get("avx512_fp16")
    return bool(capabilities.get("amx_bf16") or without_amx)
