"""The cross-encoder: pairs of query and passage in, one score a pair out, in length-sorted batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from retrieval.deadline import look, to_the_end
from retrieval.errors import ConfigError, ModelError
from retrieval.models.batches import length_sorted_batches, run_splitting
from retrieval.models.cross_encoders.packaged import PackagedPairs, packaged_model
from retrieval.models.encoders import check_unicode, most_characters
from retrieval.models.errors import reading_model
from retrieval.models.resolved_model import ResolvedModel, resolve_model_side
from retrieval.models.trust import Trust
from retrieval.settings import CrossEncoderSettings, ModelSettings

CHUNK_PAIRS = 256  # pairs whose tokens are held, and sorted by length, at once

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairScores:
    """Scores of n pairs, in their order, higher is better.

    `scores`: (n,) float32, logits as the model's head gives them, without a sigmoid. `truncated`: (n,)
    bool, the pair was cut to the model's window, the longer of query and passage first.
    """

    scores: npt.NDArray[np.float32]
    truncated: npt.NDArray[np.bool_]


class TokenizedPairs(Protocol):
    """Tokens of some pairs, of one runtime. `lengths`: (n,) int64 tokens; `truncated`: (n,) bool."""

    lengths: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]


class Runtime(Protocol):
    """What runs a model. `batch_tokens`: most tokens, padding included, in one batch."""

    batch_tokens: int

    @property
    def description(self) -> dict[str, Any]:
        """Window and precision, for the card."""

    def tokenize(self, pairs: Sequence[Pair]) -> Any:
        """Tokens of pairs, cut to the window: `TokenizedPairs`."""

    def run(self, tokens: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Scores of these rows: (len(rows),) float32."""


class CrossEncoder:
    """A loaded cross-encoder. `card`: name, revision, fingerprint, runtime, window and precision, as JSON."""

    def __init__(self, runtime: Runtime, model: ModelSettings | None, card: dict[str, Any]) -> None:
        self.card = card
        self._runtime = runtime
        self._most = most_characters(int(runtime.description["max_tokens"]))
        self._query_prompt = (model.query_prompt if model else None) or ""
        self._passage_prompt = (model.passage_prompt if model else None) or ""

    @classmethod
    @to_the_end
    @reading_model()
    def open(
        cls, settings: CrossEncoderSettings, *, threads: int | None = None, trust: Trust = Trust()
    ) -> "CrossEncoder":
        """Load the model; `threads` bounds what it computes with on a CPU.

        Raises ModelError where it is not here, may not be loaded, or is no cross-encoder, and ConfigError
        for settings that a cross-encoder does not have.
        """
        resolved = _resolve(settings, trust)
        runtime: Runtime
        if settings.model is None:
            runtime = PackagedPairs(resolved, threads=threads)
        else:
            # Imported when asked for: loading sentence-transformers takes seconds.
            from retrieval.models.cross_encoders.transformer import TransformerPairs

            runtime = TransformerPairs(resolved, settings.model, threads=threads, trust=trust)
        return cls(runtime, settings.model, cross_encoder_card(settings, trust) | runtime.description)

    def scores(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """Scores of (query, passage) pairs: (n,) float32; see `score`."""
        return self.score(pairs).scores

    def score(self, pairs: Sequence[Pair]) -> PairScores:
        """Score (query, passage) pairs, of one query or of many; titles stand in front of passages.

        Raises InputError for text that is no Unicode, ModelError where a score is not finite or a single
        pair does not fit into memory.
        """
        scores = np.empty(len(pairs), np.float32)
        truncated = np.zeros(len(pairs), np.bool_)
        for start in range(0, len(pairs), CHUNK_PAIRS):
            look()
            chunk = self._prepared(pairs[start : start + CHUNK_PAIRS], start)
            end = start + len(chunk)
            scores[start:end], truncated[start:end] = self._score_chunk(chunk)
        finite = np.isfinite(scores)
        if not finite.all():
            raise ModelError(
                f"{self.card['name']}: {int((~finite).sum())} of {len(pairs)} scores are not finite",
                hint="Set `cross_encoder.model.dtype` to float32 (float16 overflows in some models).",
            )
        return PairScores(scores, truncated)

    def _score_chunk(self, pairs: list[Pair]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        tokens: TokenizedPairs = self._runtime.tokenize(pairs)
        scores = np.empty(len(pairs), np.float32)

        def run(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            return self._runtime.run(tokens, rows)

        for rows in length_sorted_batches(tokens.lengths, self._runtime.batch_tokens):
            scores[rows] = run_splitting(run, rows)
        return scores, tokens.truncated

    def _prepared(self, pairs: Sequence[Pair], first: int) -> list[Pair]:
        check_unicode([query for query, _ in pairs], "query", first)
        check_unicode([passage for _, passage in pairs], "passage", first)
        return [
            (self._query_prompt + query[: self._most], self._passage_prompt + passage[: self._most])
            for query, passage in pairs
        ]


def cross_encoder_card(settings: CrossEncoderSettings, trust: Trust = Trust()) -> dict[str, Any]:
    """Name, revision, fingerprint and runtime of the model, as JSON, without loading it.

    Raises as `CrossEncoder.open`.
    """
    model = _resolve(settings, trust)
    return {
        "name": model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "runtime": "onnxruntime" if settings.model is None else "torch",
    }


def _resolve(settings: CrossEncoderSettings, trust: Trust) -> ResolvedModel:
    model = settings.model
    if model is None:
        return packaged_model()
    for name in ("query_name", "normalize"):
        if getattr(model, name) is not None:
            raise ConfigError(
                f"`cross_encoder.model.{name}` is set, and a cross-encoder has no such thing",
                hint="Leave it out: one model reads query and passage together and gives a number.",
            )
    return resolve_model_side(model, "passage", trust)
