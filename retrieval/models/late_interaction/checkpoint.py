"""Token vectors of a ColBERT checkpoint, by sentence-transformers' MultiVectorEncoder.

That library reads its own, Stanford's and PyLate's folders; prompts, query expansion, skip list, projection
and lengths are as the checkpoint says.
"""

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retrieval.deadline import look
from retrieval.errors import ConfigError, ModelError
from retrieval.models.batches import length_sorted_batches, run_splitting
from retrieval.models.encoders import (
    BATCH_TOKENS,
    TASKS,
    Side,
    check_unicode,
    choose_device,
    choose_dtype,
    most_characters,
)
from retrieval.models.late_interaction.token_encoder import Token, TokenEncoder, spans_in_text
from retrieval.models.late_interaction.token_vectors import TokenVectors, Vectors
from retrieval.models.loading import load_model
from retrieval.models.resolved_model import resolve_model_side
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings

_PROMPT_NAMES = {"passage": ("document", "passage", "corpus"), "query": ("query",)}
_COUNTED_AT_ONCE = 32  # texts whose tokens are counted between two looks at the deadline
_MOST_LENGTH = 100_000  # transformers gives tokenizers without a limit one of 1e30


class CheckpointTokenEncoder(TokenEncoder):
    """A loaded checkpoint. Its transformer runs in `dtype`, what follows it in float32."""

    def __init__(self, settings: ModelSettings, query_tokens: int, trust: Trust) -> None:
        """query_tokens: longest query, where the checkpoint does not expand queries to a length of its own.

        Raises ModelError where it cannot be loaded, ConfigError for a window that it does not have.
        """
        if settings.query_name is not None:
            raise ConfigError(
                "`late_interaction.model.query_name` is set, and a ColBERT checkpoint encodes both sides",
                hint="Leave it out.",
            )
        device = choose_device(settings)
        dtype = choose_dtype(settings, device)
        super().__init__(settings, device=device, dtype=dtype)
        model = resolve_model_side(settings, "passage", trust)
        self._model = load_model(
            "MultiVectorEncoder", model, trust, device=device, dtype=dtype,
            prepare=partial(_prepare, name=model.name, settings=settings, query_tokens=query_tokens),
            variant=(settings.max_tokens, query_tokens),
        )  # fmt: skip
        self._tokenizing: AbstractContextManager[Any] = self._model.tokenizer_lock
        self._backend: Any = self._model.tokenizer
        self._mask, self._pools = _masking(self._model)
        self._batch_tokens = settings.batch_tokens or BATCH_TOKENS[device]
        self._prompts: dict[Side, str] = {
            "passage": _prompt(self._model, "passage", settings.passage_prompt),
            "query": _prompt(self._model, "query", settings.query_prompt),
        }
        self._window = int(self._model[0].document_length)
        specials = self._backend.num_special_tokens_to_add()
        with self._tokenizing:
            prompt = len(self._backend(self._prompts["passage"], add_special_tokens=False)["input_ids"])
        self._title_tokens = max(1, (self._window - specials - prompt) // 2)

    def query_tokens(self, text: str) -> list[str]:
        """The tokens of a query, one for each of its vectors; those of expansion come last."""
        check_unicode([text], "query")
        features = self._model.preprocess([text], prompt=self._prompts["query"] or None, task="query")
        kept = self._kept(features, "query")
        texts: list[str] = self._backend.convert_ids_to_tokens(features["input_ids"][0][kept].tolist())
        return texts

    def passage_tokens(self, title: str | None, text: str) -> list[Token]:
        """The tokens of a passage, one for each of its vectors; unnamed where the checkpoint pools them."""
        if self._pools:
            count = len(self.encode_passages([title], [text]).vectors)
            return [Token("", -1, -1)] * count
        check_unicode([title or "", text], "text")
        front = self._prompts["passage"] + self._front(title or "")
        with self._tokenizing:
            found = self._backend(
                front + self._start(text), truncation=True, max_length=self._window,
                return_offsets_mapping=True, return_tensors="pt",
            )  # fmt: skip
        texts = self._backend.convert_ids_to_tokens(found["input_ids"][0].tolist())
        spans = [(int(start), int(end)) for start, end in found["offset_mapping"][0].tolist()]
        kept = self._kept(found, "document").tolist()
        tokens = spans_in_text(texts, spans, len(front))
        return [token for token, keep in zip(tokens, kept, strict=True) if keep]

    def _queries(self, texts: list[str]) -> TokenVectors:
        return self._encode("query", texts)

    def _passages(self, titles: list[str], texts: list[str]) -> TokenVectors:
        check_unicode(titles, "title")
        check_unicode(texts, "text")
        pairs = zip(titles, texts, strict=True)
        return self._encode("passage", [self._front(title) + self._start(text) for title, text in pairs])

    def _start(self, text: str) -> str:
        """As much of a text as fills the window."""
        return text if self._backend.truncation_side == "left" else text[: most_characters(self._window)]

    def _front(self, title: str) -> str:
        """The title as it stands in front of the text, capped to half the room."""
        if not title:
            return ""
        with self._tokenizing:
            found = self._backend(title, add_special_tokens=False, return_offsets_mapping=True)
        spans = found["offset_mapping"]
        if len(spans) > self._title_tokens:
            title = title[: spans[self._title_tokens - 1][1]]
        return f"{title} "

    def _encode(self, side: Side, texts: list[str]) -> TokenVectors:
        check_unicode(texts, "text")
        counts = np.zeros(len(texts), np.int64)
        lengths = np.zeros(len(texts), np.int64)
        for start in range(0, len(texts), _COUNTED_AT_ONCE):
            look()
            part = texts[start : start + _COUNTED_AT_ONCE]
            with self._tokenizing:
                ids = self._backend(part, truncation=True, max_length=self._window)["input_ids"]
            lengths[start : start + len(part)] = [len(row) for row in ids]

        def run(rows: npt.NDArray[np.int64]) -> Vectors:
            found = self._model.encode(
                [texts[row] for row in rows],
                prompt=self._prompts[side] or None,
                task=TASKS[side],
                batch_size=len(rows),
                convert_to_numpy=True,
                show_progress_bar=False,
            )
            counts[rows] = [len(vectors) for vectors in found]
            return np.concatenate(found)

        batches = [
            (rows, run_splitting(run, rows)) for rows in length_sorted_batches(lengths, self._batch_tokens)
        ]
        width = self.dimension or (batches[0][1].shape[1] if batches else 0)
        return TokenVectors.from_batches(batches, counts, width)

    def _kept(self, features: Any, task: str) -> torch.Tensor:
        """Which tokens of a single text have a vector: (tokens,) bool."""
        if self._mask is not None:
            features = self._mask(dict(features), task=task)
        kept: torch.Tensor = features["attention_mask"][0].bool()
        return kept


def _prepare(loaded: Any, *, name: str, settings: ModelSettings, query_tokens: int) -> None:
    """Set precision and lengths of a MultiVectorEncoder. Raises ModelError, ConfigError."""
    if not getattr(loaded.tokenizer, "is_fast", False):
        raise ModelError(
            f"the late-interaction model {name!r} has no tokenizer.json",
            hint="Write one with transformers: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
        )
    for module in list(loaded)[1:]:
        module.float()
    loaded[0].register_forward_hook(_widen)
    _set_lengths(loaded[0], settings, query_tokens)


def _widen(_module: Any, _inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    return {**features, "token_embeddings": features["token_embeddings"].float()}


def _masking(model: Any) -> tuple[Any, bool]:
    """The module that leaves tokens out, if there is one, and whether tokens are pooled."""
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling, MultiVectorMask

    mask = next((module for module in model if isinstance(module, MultiVectorMask)), None)
    return mask, any(isinstance(module, BaseTokenPooling) for module in model)


def _prompt(model: Any, side: Side, configured: str | None) -> str:
    if configured is not None:
        return configured
    return next((model.prompts[name] for name in _PROMPT_NAMES[side] if model.prompts.get(name)), "")


def _set_lengths(transformer: Any, settings: ModelSettings, query_tokens: int) -> None:
    """Apply the configured lengths, which are in tokens. Raises ConfigError."""
    own = int(min(transformer.max_seq_length or _MOST_LENGTH, _MOST_LENGTH))
    config = getattr(transformer.config, "get_text_config", lambda: transformer.config)()
    positions = int(getattr(config, "max_position_embeddings", 0) or own)
    window = min(transformer.document_length or own, own, positions)
    if settings.max_tokens is not None:
        if settings.max_tokens > positions:
            raise ConfigError(
                f"`late_interaction.model.max_tokens` is {settings.max_tokens}, "
                f"and the model has {positions} positions",
                hint=f"Set it to {positions} or less; the model's own window is {window}.",
            )
        window = settings.max_tokens
    transformer.document_length = window
    if transformer.query_expansion is None:
        transformer.query_length = min(transformer.query_length or own, query_tokens, positions)
